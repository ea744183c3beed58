// What the command policy would say of a command: nothing runs for it.
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { usePolicyTest } from "../../data/access";
import { Trouble } from "../../kit/asked";

export function Policy() {
  const { t } = useTranslation();
  const trial = usePolicyTest();
  const [shell, setShell] = useState("");
  const [target, setTarget] = useState("");
  const found = trial.data;
  return (
    <section className="panel stack">
      <h2>{t("access.policy.title")}</h2>
      <form
        className="stack"
        onSubmit={(event) => {
          event.preventDefault();
          trial.mutate({ shell, target: target.trim() });
        }}
      >
        <textarea className="mono" rows={3} value={shell} onChange={(event) => setShell(event.target.value)} aria-label={t("rollouts.command")} spellCheck={false} data-filter="true" />
        <div className="row">
          <input className="mono grow" value={target} onChange={(event) => setTarget(event.target.value)} placeholder={t("access.anywhere")} aria-label={t("nodes.selector")} />
          <button className="primary" disabled={!shell.trim() || trial.isPending}>
            {t("access.policy.ask")}
          </button>
        </div>
      </form>
      {trial.error && <Trouble error={trial.error} />}
      {found && (
        <div className={found.allowed ? "note good" : "note bad"} role="status">
          <b>{t(found.allowed ? "access.policy.allowed" : "access.policy.denied")}</b>{" "}
          <span className="muted small">
            {found.mode}, {t("access.policy.revision", { revision: found.revision })}
          </span>
          <ul>
            {found.judged.map((one, index) => (
              <li key={index}>
                {one.why} {one.rule && <span className="chip">{one.rule}</span>} {one.nodes.length > 0 && <span className="small muted">{one.nodes.slice(0, 8).join(", ")}</span>}
              </li>
            ))}
          </ul>
          {found.commands.length > 0 && (
            <>
              <p className="small muted">{t("access.policy.seen")}</p>
              <ul>
                {found.commands.map((command, index) => (
                  <li key={index}>
                    <code>{command.words.join(" ")}</code>
                  </li>
                ))}
              </ul>
            </>
          )}
        </div>
      )}
    </section>
  );
}
