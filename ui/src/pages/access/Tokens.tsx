// API tokens (of all, for who may see them; else one's own) and the tokens that nodes join with.
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { useApiTokens, useJoinTokens, useNewApiToken, useRevokeApiToken, useRevokeJoinToken } from "../../data/access";
import { useNewJoinToken } from "../../data/nodes";
import { may, useMay, useMe } from "../../data/session";
import { Act } from "../../kit/Act";
import { Asked, Trouble } from "../../kit/asked";
import { Choices } from "../../kit/Choices";
import { Copy } from "../../kit/copy";
import { When } from "../../kit/when";
import { PERMISSIONS } from "../../text/permissions";

const DAYS = [1, 7, 30, 90, 365];

export function Tokens() {
  const joins = useMay("token.read");
  return (
    <div className="columns wide">
      <ApiTokens />
      {joins && <JoinTokens />}
    </div>
  );
}

function ApiTokens() {
  const { t } = useTranslation();
  const all = useMay("access.read");
  const tokens = useApiTokens(all);
  const make = useNewApiToken(useMay("access.write"));
  const revoke = useRevokeApiToken(all);
  return (
    <section className="panel stack">
      <h2>{t("access.api_tokens")}</h2>
      <Asked query={tokens}>
        {(found) => (
          <table className="fit">
            <tbody>
              {found.map((token) => (
                <tr key={token.id}>
                  <td className="cut" title={token.permissions.join(" ")}>
                    <b>{token.name}</b> <span className="muted small mono">{token.permissions.join(" ")}</span>
                  </td>
                  <td className="nowrap">{token.owner}</td>
                  <td className="nowrap small">
                    {token.expires_at && (
                      <>
                        {t("access.token.until")} <When at={token.expires_at} />
                      </>
                    )}
                  </td>
                  <td className="nowrap small">{token.last_used_at ? <When at={token.last_used_at} /> : <span className="muted">{t("access.never_used")}</span>}</td>
                  <td className="right">
                    {token.revoked ? (
                      <span className="muted">{t("state.revoked")}</span>
                    ) : (
                      <button className="plain" onClick={() => revoke.mutate(token.id)} disabled={revoke.isPending}>
                        {t("access.revoke")}
                      </button>
                    )}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </Asked>
      <NewToken make={make} />
      {(make.error || revoke.error) && <Trouble error={make.error ?? revoke.error} />}
      {make.data && <Secret text={make.data.token} />}
    </section>
  );
}

/** Everything one may oneself, or only some words of it; for good or until a day. */
function NewToken({ make }: { make: ReturnType<typeof useNewApiToken> }) {
  const { t } = useTranslation();
  const me = useMe();
  const [name, setName] = useState("");
  const [some, setSome] = useState(false);
  const [words, setWords] = useState<string[]>([]);
  const [days, setDays] = useState("");
  const held = PERMISSIONS.filter((word) => may(me.data, word));
  return (
    <form
      className="stack"
      onSubmit={(event) => {
        event.preventDefault();
        make.mutate({ name: name.trim(), permissions: some ? words : ["*"], ...(days ? { ttl_seconds: Number(days) * 86_400 } : {}) }, { onSuccess: () => setName("") });
      }}
    >
      <div className="row">
        <input className="grow" value={name} onChange={(event) => setName(event.target.value)} placeholder={t("access.token_name")} aria-label={t("access.token_name")} />
        <select value={some ? "some" : "all"} onChange={(event) => setSome(event.target.value === "some")} aria-label={t("access.token.may")}>
          <option value="all">{t("access.token.all")}</option>
          <option value="some">{t("access.token.some")}</option>
        </select>
        <select value={days} onChange={(event) => setDays(event.target.value)} aria-label={t("access.token.lasts")}>
          <option value="">{t("access.token.for_good")}</option>
          {DAYS.map((count) => (
            <option key={count} value={count}>
              {t("access.token.days", { count })}
            </option>
          ))}
        </select>
        <button disabled={!name.trim() || (some && words.length === 0) || make.isPending} title={some && words.length === 0 ? t("access.token.none_chosen") : undefined}>
          {t("access.new_token")}
        </button>
      </div>
      {some && <Choices legend={t("access.token.permissions")} about={t("access.token.permissions_how")} words={held} chosen={words} onChange={setWords} />}
    </form>
  );
}

function JoinTokens() {
  const { t } = useTranslation();
  const tokens = useJoinTokens();
  const make = useNewJoinToken();
  const revoke = useRevokeJoinToken();
  return (
    <section className="panel stack">
      <h2>{t("access.join_tokens")}</h2>
      <Asked query={tokens}>
        {(found) => (
          <table className="fit">
            <tbody>
              {found.map((token) => (
                <tr key={token.id}>
                  <td className="cut mono">{token.id}</td>
                  <td className="nowrap">{t("access.uses", { used: token.used, of: token.uses })}</td>
                  <td className="nowrap small">
                    <When at={token.expires_at} />
                  </td>
                  <td className="right">
                    {token.revoked ? (
                      <span className="muted">{t("state.revoked")}</span>
                    ) : (
                      <Act needs="token.write" className="plain" onClick={() => revoke.mutate(token.id)} disabled={revoke.isPending}>
                        {t("access.revoke")}
                      </Act>
                    )}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </Asked>
      <div className="row">
        <Act needs="token.write" onClick={() => make.mutate(undefined, { onSuccess: () => void tokens.refetch() })} disabled={make.isPending}>
          {t("access.new_join")}
        </Act>
      </div>
      {(make.error || revoke.error) && <Trouble error={make.error ?? revoke.error} />}
      {make.data?.token && <Secret text={`corral agent enroll --server ${make.data.server_url || window.location.origin} --token ${make.data.token}`} />}
    </section>
  );
}

/** Shown this once; nothing keeps it. */
function Secret({ text }: { text: string }) {
  const { t } = useTranslation();
  return (
    <div className="note good row" role="status">
      <code className="grow break">{text}</code>
      <Copy text={text} />
      <span className="small muted">{t("access.once")}</span>
    </div>
  );
}
