// Secrets by name: a value is written here and read nowhere.
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import { useDeleteSecret, useSecrets, useSetSecret, type SecretView } from "../../data/secrets";
import { Act } from "../../kit/Act";
import { Asked, Trouble } from "../../kit/asked";
import { ConfirmName } from "../../kit/ConfirmName";
import { When } from "../../kit/when";

export function Secrets() {
  const { t } = useTranslation();
  const secrets = useSecrets();
  const remove = useDeleteSecret();
  const [going, setGoing] = useState<SecretView | null>(null);
  return (
    <section className="panel stack">
      <h2>{t("access.part.secrets")}</h2>
      <Asked query={secrets}>
        {(found) =>
          found.length === 0 ? (
            <p className="muted">{t("access.secret.none")}</p>
          ) : (
            <table className="fit">
              <tbody>
                {found.map((secret) => (
                  <tr key={secret.name}>
                    <td className="cut mono" title={secret.description}>
                      {secret.name}
                    </td>
                    <td className="mono small">{secret.selector}</td>
                    <td className="nowrap muted">{t("access.secret.version", { version: secret.version })}</td>
                    <td>
                      <When at={secret.changed_at} />
                    </td>
                    <td className="right">
                      <Act needs="secret.write" className="plain" onClick={() => setGoing(secret)}>
                        {t("access.secret.delete")}
                      </Act>
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          )
        }
      </Asked>
      <Write />
      <p className="small muted">
        {t("access.secret.used_by")} <Link to="/access/connections">{t("access.part.connections")}</Link>
      </p>
      {going && (
        <ConfirmName
          title={t("access.secret.delete")}
          name={going.name}
          busy={remove.isPending}
          error={remove.error}
          onClose={() => setGoing(null)}
          onYes={() => remove.mutate(going.name, { onSuccess: () => setGoing(null) })}
        >
          <p>{t("access.secret.gone")}</p>
        </ConfirmName>
      )}
    </section>
  );
}

function Write() {
  const { t } = useTranslation();
  const write = useSetSecret();
  const [name, setName] = useState("");
  const [value, setValue] = useState("");
  const [selector, setSelector] = useState("");
  return (
    <>
      <form
        className="row"
        onSubmit={(event) => {
          event.preventDefault();
          write.mutate({ name: name.trim(), value, selector: selector.trim(), description: "" }, { onSuccess: () => (setName(""), setValue("")) });
        }}
      >
        <input className="mono" value={name} onChange={(event) => setName(event.target.value)} placeholder={t("access.secret.name")} aria-label={t("access.secret.name")} />
        <input type="password" value={value} onChange={(event) => setValue(event.target.value)} placeholder={t("access.secret.value")} aria-label={t("access.secret.value")} autoComplete="off" />
        <input className="mono grow" value={selector} onChange={(event) => setSelector(event.target.value)} placeholder={t("access.anywhere")} aria-label={t("nodes.selector")} />
        <Act needs="secret.write" disabled={!name.trim() || !value || write.isPending}>
          {t("access.secret.write")}
        </Act>
      </form>
      <p className="small muted">{t("access.secret.how", { form: "{{ secret.NAME }}", interpolation: { escapeValue: false, skipOnVariables: true } })}</p>
      {write.error && <Trouble error={write.error} />}
    </>
  );
}
