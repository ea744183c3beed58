// What becomes of a command that no rule is about, and the way back to the shipped rules.
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { useChangePolicy, type PolicyView } from "../../../data/policy";
import { changedMeanwhile } from "../../../data/write";
import { Act } from "../../../kit/Act";
import { Changed } from "../../../kit/Changed";
import { Confirm } from "../../../kit/Confirm";
import { When } from "../../../kit/when";

const MODES = ["deny-list", "allow-list"] as const;

export function Mode({ policy, saved, again }: { policy: PolicyView; saved: string; again: () => void }) {
  const { t } = useTranslation();
  const change = useChangePolicy();
  const [asking, setAsking] = useState<"" | "mode" | "ship">("");
  const allows = policy.rules.filter((rule) => rule.effect === "allow").length;
  const to = policy.mode === "allow-list" ? "deny-list" : "allow-list";
  const stale = changedMeanwhile(change.error);
  const ask = (what: "mode" | "ship") => {
    change.reset();
    setAsking(what);
  };
  const close = () => setAsking("");
  const send = () => change.mutate({ change: asking === "ship" ? { do: "ship" } : { do: "mode", mode: to }, revision: policy.revision }, { onSuccess: close, onError: (error) => changedMeanwhile(error) && close() });
  return (
    <section className="panel stack">
      <h2>{t("access.policy.mode.title")}</h2>
      {saved && (
        <p className="note good" role="status">
          {saved}
        </p>
      )}
      {stale && (
        <Changed
          onAgain={() => {
            change.reset();
            again();
          }}
        />
      )}
      <dl className="facts">
        {MODES.map((mode) => (
          <div key={mode} className="pair">
            <dt>{mode === policy.mode ? <b>{t(`access.policy.mode.${mode}`)}</b> : t(`access.policy.mode.${mode}`)}</dt>
            <dd>
              {t(`access.policy.mode.what.${mode}`)} {mode === policy.mode && <span className="chip">{t("access.policy.mode.now")}</span>}
            </dd>
          </div>
        ))}
      </dl>
      <div className="row">
        <Act needs="policy.write" not={to === "allow-list" && allows === 0 ? t("access.policy.mode.nothing_allowed") : undefined} onClick={() => ask("mode")}>
          {t(`access.policy.mode.to.${to}`)}
        </Act>
        <Act needs="policy.write" className="danger" onClick={() => ask("ship")}>
          {t("access.policy.ship")}
        </Act>
      </div>
      <p className="small muted">
        {t("access.policy.revision", { revision: policy.revision })} · {policy.changed_by} <When at={policy.changed_at} />
      </p>
      <p className="small muted">{t("access.policy.guard_rail")}</p>
      {asking === "mode" && (
        <Confirm title={t(`access.policy.mode.to.${to}`)} {...(to === "allow-list" ? { typed: to } : { danger: false })} busy={change.isPending} error={change.error} onClose={close} onYes={send}>
          <p>{to === "allow-list" ? t("access.policy.mode.sure_allow", { count: allows }) : t("access.policy.mode.sure_deny")}</p>
          {to === "allow-list" && <p className="note warn">{t("access.policy.mode.warn_allow")}</p>}
        </Confirm>
      )}
      {asking === "ship" && (
        <Confirm title={t("access.policy.ship")} typed="shipped" busy={change.isPending} error={change.error} onClose={close} onYes={send}>
          <p>{t("access.policy.sure_ship", { count: policy.rules.length })}</p>
        </Confirm>
      )}
    </section>
  );
}
