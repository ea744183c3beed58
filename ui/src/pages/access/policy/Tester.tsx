// What the command policy would say of a command: nothing runs for it. After a change of the rules the answer is asked for anew.
import { useEffect, useState, type Ref } from "react";
import { useTranslation } from "react-i18next";
import { usePolicyTest, type TrialView } from "../../../data/policy";
import { Trouble } from "../../../kit/asked";

export function Tester({ command, revision }: { command: Ref<HTMLTextAreaElement>; revision: number }) {
  const { t } = useTranslation();
  const trial = usePolicyTest();
  const [shell, setShell] = useState("");
  const [target, setTarget] = useState("");
  const { data, variables, mutate } = trial;
  useEffect(() => {
    if (data && variables && revision > data.revision) mutate(variables);
  }, [revision, data, variables, mutate]);
  return (
    <section className="panel stack">
      <h2>{t("access.policy.title")}</h2>
      <form
        className="stack"
        onSubmit={(event) => {
          event.preventDefault();
          mutate({ shell, target: target.trim() });
        }}
      >
        <textarea ref={command} className="mono" rows={3} value={shell} onChange={(event) => setShell(event.target.value)} aria-label={t("rollouts.command")} spellCheck={false} data-filter="true" />
        <div className="row">
          <input className="mono grow" value={target} onChange={(event) => setTarget(event.target.value)} placeholder={t("access.anywhere")} aria-label={t("nodes.selector")} />
          <button className="primary" disabled={!shell.trim() || trial.isPending}>
            {t("access.policy.ask")}
          </button>
        </div>
      </form>
      {trial.error && <Trouble error={trial.error} />}
      {data && <Found found={data} />}
    </section>
  );
}

function Found({ found }: { found: TrialView }) {
  const { t } = useTranslation();
  const asks = found.judged.some((one) => one.allowed && one.asks !== "");
  return (
    <div className={found.allowed ? (asks ? "note warn" : "note good") : "note bad"} role="status">
      <b>{t(found.allowed ? "access.policy.allowed" : "access.policy.denied")}</b>{" "}
      <span className="muted small">
        {t(`access.policy.mode.${found.mode}`)}, {t("access.policy.revision", { revision: found.revision })}
      </span>
      <ul>
        {found.judged.map((one, index) => (
          <li key={index}>
            {one.why} {one.rule && <span className="chip">{one.rule}</span>}
            {one.asks && (
              <>
                {" "}
                {t("access.policy.asks")} <span className="chip">{one.asks}</span>
              </>
            )}{" "}
            {one.nodes.length > 0 && <span className="small muted">{one.nodes.slice(0, 8).join(", ")}</span>}
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
  );
}
