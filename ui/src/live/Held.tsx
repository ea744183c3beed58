// A job of which nothing is sent before a second person has decided: what asks for it, who asked, and where to decide.
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import type { JobView, TaskView } from "../api/types";
import { useApprovalOf } from "../data/approvals";
import { When } from "../kit/when";
import { useMay, useMe } from "../data/session";

export function isHeld(tasks: readonly TaskView[]): boolean {
  return tasks.some((task) => task.state === "queued" && task.reason === "approval");
}

export function Held({ job, tasks }: { job: JobView; tasks: readonly TaskView[] }) {
  const { t } = useTranslation();
  const me = useMe();
  const mayLook = useMay("approval.read");
  const mayDecide = useMay("approval.decide");
  const held = isHeld(tasks);
  const asked = useApprovalOf(job.job, held && mayLook).data;
  if (!held) return null;
  const own = me.data?.name === job.created_by;
  return (
    <section className="note warn panel stack" aria-label={t("held.title")}>
      <strong>{t("held.title")}</strong>
      {asked && <span>{asked.why}</span>}
      <span>
        {t(own ? "held.own" : mayDecide ? "held.you" : "held.other", { name: job.created_by })}{" "}
        {job.expires_at !== null && (
          <>
            {t("held.until")} <When at={job.expires_at} />
          </>
        )}
      </span>
      <div className="row">
        {mayLook ? (
          <Link className="button" to="/access/approvals">
            {t("held.open")}
          </Link>
        ) : (
          <span className="muted small">{t("kit.needs", { permission: "approval.read" })}</span>
        )}
      </div>
    </section>
  );
}
