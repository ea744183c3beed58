// API tokens (of all, for who may see them; else one's own) and the tokens that nodes join with.
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { useApiTokens, useJoinTokens, useNewApiToken, useRevokeApiToken, useRevokeJoinToken } from "../../data/access";
import { useNewJoinToken } from "../../data/nodes";
import { useMay } from "../../data/session";
import { Act } from "../../kit/Act";
import { Asked, Trouble } from "../../kit/asked";
import { Copy } from "../../kit/copy";
import { When } from "../../kit/when";

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
  const [name, setName] = useState("");
  return (
    <section className="panel stack">
      <h2>{t("access.api_tokens")}</h2>
      <Asked query={tokens}>
        {(found) => (
          <table className="fit">
            <tbody>
              {found.map((token) => (
                <tr key={token.id}>
                  <td className="cut">
                    <b>{token.name}</b> <span className="muted small mono">{token.permissions.join(" ")}</span>
                  </td>
                  <td className="nowrap">{token.owner}</td>
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
      <form
        className="row"
        onSubmit={(event) => {
          event.preventDefault();
          make.mutate({ name: name.trim(), permissions: ["*"] }, { onSuccess: () => setName("") });
        }}
      >
        <input className="grow" value={name} onChange={(event) => setName(event.target.value)} placeholder={t("access.token_name")} aria-label={t("access.token_name")} />
        <button disabled={!name.trim() || make.isPending}>{t("access.new_token")}</button>
      </form>
      {(make.error || revoke.error) && <Trouble error={make.error ?? revoke.error} />}
      {make.data && <Secret text={make.data.token} />}
    </section>
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
