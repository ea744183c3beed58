// A revision to nodes. Looking first is a job too (dry_run with diff): its page groups the nodes by what would change.
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { useNavigate } from "react-router";
import type { RevisionView } from "../../api/types";
import { useFileJob } from "../../data/files";
import { useResolve } from "../../data/nodes";
import { Act } from "../../kit/Act";
import { Trouble } from "../../kit/asked";
import { SelectorField } from "../../kit/selector";

export function Apply({ revision, onClose }: { revision: RevisionView; onClose: () => void }) {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const job = useFileJob();
  const [target, setTarget] = useState("");
  const [dest, setDest] = useState("");
  const [mode, setMode] = useState("");
  const hits = useResolve(target);
  const run = (op: "apply" | "rollback", look: boolean) =>
    job.mutate(
      {
        target,
        file: {
          op,
          dest,
          ...(op === "apply" ? { source: revision.source_path, revision: revision.revision } : {}),
          ...(op === "apply" && mode ? { mode } : {}),
          ...(op === "apply" && revision.archive ? { archive: revision.archive as "tar" | "zip" } : {}),
          ...(look ? { dry_run: true, diff: true } : { backup: op === "apply" }),
        },
      },
      { onSuccess: (made) => void navigate(`/jobs/${made.job}`) },
    );
  const ready = target.trim() !== "" && dest.startsWith("/");
  return (
    <form className="stack note" onSubmit={(event) => event.preventDefault()}>
      <h2>{t("files.apply_title", { revision: revision.revision })}</h2>
      <SelectorField value={target} onChange={setTarget} label={t("nodes.selector")} placeholder='labels["role"] == "web"' error={hits.error} />
      {hits.data && target.trim() !== "" && !hits.error && (
        <p className="small muted">
          {t("nodes.count", { count: hits.data.nodes.length })}: {hits.data.nodes.slice(0, 6).join(", ")}
          {hits.data.nodes.length > 6 && " …"}
        </p>
      )}
      <div className="row">
        <input className="mono grow" value={dest} onChange={(event) => setDest(event.target.value)} placeholder="/etc/app.conf" aria-label={t("files.dest")} />
        <input className="mono" size={6} value={mode} onChange={(event) => setMode(event.target.value)} placeholder="0644" aria-label={t("files.mode")} />
      </div>
      {job.error && <Trouble error={job.error} />}
      <div className="row">
        <Act needs="file.apply" disabled={!ready || job.isPending} onClick={() => run("apply", true)}>
          {t("files.look_first")}
        </Act>
        <Act needs="file.apply" className="primary" disabled={!ready || job.isPending} onClick={() => run("apply", false)}>
          {t("files.apply")}
        </Act>
        <Act needs="file.apply" className="danger" disabled={!ready || job.isPending} onClick={() => run("rollback", false)} title={t("files.rollback_what")}>
          {t("files.rollback")}
        </Act>
        <button type="button" className="plain" onClick={onClose}>
          {t("kit.back")}
        </button>
      </div>
    </form>
  );
}
