// Limits of a job: folded away, since the defaults are sane; what is set stays visible in the summary.
import { useTranslation } from "react-i18next";
import type { NOTHING_TYPED, Typed } from "./form";

const NUMBERS = ["timeout", "concurrency", "expires", "retries"] as const;
const TEXTS = ["user", "cwd", "name"] as const;

export function Limits({ typed, onChange }: { typed: Typed; onChange: (next: Partial<typeof NOTHING_TYPED>) => void }) {
  const { t } = useTranslation();
  const set = [...NUMBERS, ...TEXTS, "offline" as const, "env" as const].filter((name) => typed[name] !== "");
  const carried = Object.keys(typed.carried);
  return (
    <details className="limits">
      <summary>
        {t("run.limits")} <span className="muted small">{[...set.map((name) => `${t(`run.limit.${name}`)}: ${typed[name]}`), ...carried].join(" · ")}</span>
      </summary>
      <div className="fields">
        {NUMBERS.map((name) => (
          <label key={name} className="field">
            {t(`run.limit.${name}`)}
            <input type="number" min={0} step="any" value={typed[name]} placeholder={t(`run.limit.${name}_default`)} onChange={(event) => onChange({ [name]: event.target.value })} />
          </label>
        ))}
        <label className="field">
          {t("run.limit.offline")}
          <select value={typed.offline} onChange={(event) => onChange({ offline: event.target.value })}>
            <option value="">{t("run.default", { value: "queue" })}</option>
            <option value="queue">{t("run.limit.queue")}</option>
            <option value="skip">{t("run.limit.skip")}</option>
          </select>
        </label>
        {TEXTS.map((name) => (
          <label key={name} className="field">
            {t(`run.limit.${name}`)}
            <input className="mono" value={typed[name]} onChange={(event) => onChange({ [name]: event.target.value })} />
          </label>
        ))}
        <label className="field">
          {t("run.limit.env")}
          <textarea className="mono" rows={2} value={typed.env} placeholder={"LANG=C\nTZ=UTC"} onChange={(event) => onChange({ env: event.target.value })} spellCheck={false} />
        </label>
      </div>
      {carried.length > 0 && (
        <p className="row small">
          {t("run.carried", { parts: carried.join(", ") })}
          <button type="button" className="plain" onClick={() => onChange({ carried: {} })}>
            {t("run.leave_out")}
          </button>
        </p>
      )}
    </details>
  );
}
