// The last day as bars, an hour each: how many jobs were submitted, and what came of them. What was not read is not drawn as nothing.
import { useMemo } from "react";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import { useDay } from "../../data/jobs";
import { useMay } from "../../data/session";
import { Asked } from "../../kit/asked";
import { useNow } from "../../kit/when";
import { type Hour, hours } from "./hours";

type Jobs = NonNullable<ReturnType<typeof useDay>["data"]>;

export function Day() {
  const { t } = useTranslation();
  const allowed = useMay("exec.read");
  const day = useDay(allowed);
  return (
    <section className="panel">
      <h2>
        <Link to="/jobs?back=1d">{t("overview.day")}</Link>
        {day.data?.more && <span className="muted">{t("overview.day_newest", { count: day.data.jobs.length })}</span>}
      </h2>
      {allowed ? <Asked query={day}>{(found) => <Hours found={found} />}</Asked> : <p className="muted">{t("kit.needs", { permission: "exec.read" })}</p>}
    </section>
  );
}

function Hours({ found }: { found: Jobs }) {
  const { t, i18n } = useTranslation();
  const now = useNow(30_000);
  const rows = useMemo(() => hours(found.jobs, found.more, now), [found, now]);
  const sum = (name: "succeeded" | "failed" | "other") => rows.reduce((total, hour) => total + hour[name], 0);
  const counts = { succeeded: sum("succeeded"), failed: sum("failed"), other: sum("other") };
  if (found.jobs.length === 0) {
    return (
      <p className="muted">
        {t("overview.day_none")} <Link to="/run?target=online&command=uptime">{t("overview.first_command")}</Link>
      </p>
    );
  }
  const most = Math.max(1, ...rows.map((hour) => hour.succeeded + hour.failed + hour.other));
  const clock = (at: number) => new Date(at).toLocaleTimeString(i18n.language, { hour: "2-digit", minute: "2-digit" });
  const words = (hour: Hour) =>
    `${clock(hour.from)}–${clock(hour.from + 3_600_000)}: ${t("overview.day_counts", { succeeded: hour.succeeded, failed: hour.failed, other: hour.other })}${hour.whole ? "" : ` ${t("overview.day_part")}`}`;
  return (
    <div className="row day">
      <div className="grow" role="img" aria-label={t("overview.day_picture", { ...counts, most })}>
        <div className="hours">
          {rows.map((hour, index) => (
            <span key={index} className={hour.whole ? "hour" : "hour part"} title={words(hour)}>
              {(["other", "failed", "succeeded"] as const).map((name) => (
                <i key={name} className={name} style={{ height: `${(100 * hour[name]) / most}%` }} />
              ))}
            </span>
          ))}
        </div>
        <div className="axis small muted">
          <span>{t("overview.day_from")}</span>
          <span>{t("overview.day_now")}</span>
        </div>
      </div>
      <div className="row small">
        <Link to="/jobs?state=succeeded&back=1d">{t("overview.day_succeeded", { count: counts.succeeded })}</Link>
        <Link to="/jobs?state=failed&back=1d">{t("overview.day_failed", { count: counts.failed })}</Link>
        {counts.other > 0 && <Link to="/jobs?back=1d">{t("overview.day_rest", { count: counts.other })}</Link>}
      </div>
    </div>
  );
}
