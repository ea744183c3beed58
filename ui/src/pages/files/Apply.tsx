// A revision to nodes. Looking first is a job too (dry_run with diff): the nodes are shown grouped by what would change. Where the artifact
// is at one path, the form is filled in and looked at once: going back to an older revision is two clicks, the second after seeing it.
import { useEffect, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { Link, useNavigate } from "react-router";
import type { RevisionView } from "../../api/types";
import { useFileJob } from "../../data/files";
import { useLiveJob } from "../../data/live";
import { useResolve } from "../../data/nodes";
import { useMay } from "../../data/session";
import { Act } from "../../kit/Act";
import { Loading, Trouble } from "../../kit/asked";
import { Confirm, THRESHOLD } from "../../kit/Confirm";
import { SelectorField } from "../../kit/selector";
import { State } from "../../kit/states";
import { Groups } from "../../live/Groups";
import { targetOf, type Place } from "./where";

interface Props {
  revision: RevisionView;
  /** There is a newer one: this goes back. */
  older: boolean;
  places: readonly Place[];
  onClose: () => void;
}

export function Apply({ revision, older, places, onClose }: Props) {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const job = useFileJob();
  const only = places.length === 1 ? places[0] : undefined;
  const [target, setTarget] = useState(only === undefined ? "" : targetOf(only.nodes));
  const [dest, setDest] = useState(only?.dest ?? "");
  const [mode, setMode] = useState("");
  const [looked, setLooked] = useState({ job: "", at: "" });
  const [asking, setAsking] = useState<"" | "apply" | "rollback">("");
  const hits = useResolve(target);
  const asked = JSON.stringify([target, dest, mode]);
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
      { onSuccess: (made) => (look ? setLooked({ job: made.job, at: asked }) : void navigate(`/jobs/${made.job}`)) },
    );
  const ready = target.trim() !== "" && dest.startsWith("/");
  const count = hits.data?.nodes.length ?? 0;
  const sure = (op: "apply" | "rollback") => (count > THRESHOLD ? setAsking(op) : run(op, false));
  const begun = useRef(false);
  useEffect(() => {
    if (ready && !begun.current) run("apply", true);
    begun.current = true;
  }, []);
  return (
    <>
      <form className="stack note" aria-label={t("files.apply_title", { revision: revision.revision })} onSubmit={(event) => event.preventDefault()}>
        <h2>{t(older ? "files.back_title" : "files.apply_title", { revision: revision.revision })}</h2>
        {places.length > 1 && (
          <div className="row small">
            <span className="muted">{t("files.is_at")}</span>
            {places.map((place) => (
              <button
                key={place.dest}
                type="button"
                aria-pressed={place.dest === dest}
                onClick={() => {
                  setDest(place.dest);
                  setTarget(targetOf(place.nodes));
                }}
              >
                <span className="mono">{place.dest}</span> {t("files.on_nodes", { count: place.nodes.length })}
              </button>
            ))}
          </div>
        )}
        <SelectorField value={target} onChange={setTarget} label={t("nodes.selector")} placeholder='labels["role"] == "web"' error={hits.error} />
        {hits.data && target.trim() !== "" && !hits.error && (
          <p className="small muted">
            {t("nodes.count", { count })}: {hits.data.nodes.slice(0, 6).join(", ")}
            {count > 6 && " …"}
          </p>
        )}
        <div className="row">
          <input className="mono grow" value={dest} onChange={(event) => setDest(event.target.value)} placeholder="/etc/app.conf" aria-label={t("files.dest")} />
          <input className="mono" size={6} value={mode} onChange={(event) => setMode(event.target.value)} placeholder="0644" aria-label={t("files.mode")} />
        </div>
        {job.error && asking === "" && <Trouble error={job.error} />}
        {looked.job !== "" && looked.at === asked && <Preview key={looked.job} job={looked.job} />}
        <div className="row">
          <Act type="button" needs="file.apply" disabled={!ready || job.isPending} onClick={() => run("apply", true)}>
            {t("files.look_first")}
          </Act>
          <Act type="button" needs="file.apply" className="primary" disabled={!ready || job.isPending} onClick={() => sure("apply")}>
            {t("files.apply")}
          </Act>
          <Act type="button" needs="file.apply" className="danger" disabled={!ready || job.isPending} onClick={() => sure("rollback")} title={t("files.rollback_what")}>
            {t("files.rollback")}
          </Act>
          <button type="button" className="plain" onClick={onClose}>
            {t("kit.back")}
          </button>
        </div>
      </form>
      {asking !== "" && (
        <Confirm title={t(asking === "apply" ? "files.apply" : "files.rollback")} count={count} busy={job.isPending} error={job.error} onYes={() => run(asking, false)} onClose={() => setAsking("")}>
          <p className="mono break">
            {revision.source_path} {"→"} {dest}
          </p>
        </Confirm>
      )}
    </>
  );
}

/** What would change, nodes with the same change together. */
function Preview({ job }: { job: string }) {
  const { t } = useTranslation();
  const mayRead = useMay("output.read");
  const navigate = useNavigate();
  const live = useLiveJob(job, mayRead, 0);
  return (
    <section className="stack" aria-label={t("files.would")}>
      <div className="row">
        <h2>{t("files.would")}</h2>
        {live.job && <State state={live.job.state} />}
        <Link to={`/jobs/${job}`}>{t("access.its_job")}</Link>
      </div>
      {!mayRead && <p className="muted">{t("kit.needs", { permission: "output.read" })}</p>}
      {live.job === null ? <Loading /> : <Groups tasks={live.tasks} output={live.output} version={live.version} onNode={(node) => void navigate(`/jobs/${job}?node=${encodeURIComponent(node)}`)} />}
    </section>
  );
}
