// One job, live: progress, a cell a node, output by identical content, one node's log, the timeline; cancel, retry, copy.
import { useMemo, useState } from "react";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import type { JobView, TaskView } from "../api/types";
import { useAskSubmitted, useCancel, useRetry } from "../data/jobs";
import { useLiveJob } from "../data/live";
import { useMay } from "../data/session";
import { Confirm } from "../kit/Confirm";
import { Empty, Loading, Trouble } from "../kit/asked";
import { useAddress } from "../kit/address";
import { Copy } from "../kit/copy";
import { CountsBar, State } from "../kit/states";
import { duration, useNow, When } from "../kit/when";
import { Cells } from "../pictures/Cells";
import { jobLine } from "../text/cli";
import { Groups } from "./Groups";
import { Held, isHeld } from "./Held";
import { LogView } from "./LogView";
import { Replay } from "./Replay";
import { Timeline } from "./Timeline";

const OPEN = ["queued", "delivered", "running"];

export function JobLive({ id }: { id: string }) {
  const { t } = useTranslation();
  const [again, setAgain] = useState(0);
  const mayRead = useMay("output.read");
  const [address, set] = useAddress({ node: "", show: "output", state: "" });
  const replaying = address.show === "replay";
  // A replay reads the stored output, with its times: the page holds it once.
  const live = useLiveJob(id, mayRead && !replaying, again);
  const shown = useMemo(() => (address.state === "" ? live.tasks : live.tasks.filter((task) => task.state === address.state)), [live.tasks, address.state]);
  const picked = live.tasks.find((task) => task.node === address.node);
  const byNode = useMemo(() => new Map(live.tasks.map((task) => [task.node, task])), [live.tasks]);
  const cells = useMemo(() => [["", live.tasks.map((task) => task.node)] as const], [live.tasks]);
  const job = live.job;
  if (job === null) return live.line === "refused" ? <Empty title={t("live.refused", { job: id })} /> : <Loading />;
  const open = (node: string) => set({ node: node === address.node ? "" : node });
  return (
    <div className="job">
      <Head job={job} tasks={live.tasks} line={live.line} onAgain={() => setAgain(again + 1)} />
      <div className="panel">
        <CountsBar counts={job.counts} />
        <div className="row counts" role="group" aria-label={t("live.by_state")}>
          {Object.entries(job.counts).map(([state, count]) => (
            <button key={state} aria-pressed={address.state === state} onClick={() => set({ state: address.state === state ? "" : state })}>
              <State state={state} /> {count}
            </button>
          ))}
        </div>
        {live.tasks.length > 1 && (
          <Cells
            groups={cells}
            stateOf={(node) => byNode.get(node)?.state ?? "unknown"}
            tip={(node) => `${node} · ${t(`state.${byNode.get(node)?.state ?? "unknown"}`)}`}
            onOpen={open}
            selected={address.node || undefined}
            label={t("live.picture", { count: live.tasks.length })}
          />
        )}
      </div>
      {job.state === "open" && <Held job={job} tasks={live.tasks} />}
      {picked !== undefined && !replaying && <LogView key={picked.node} job={id} task={picked} output={live.output} version={live.version} onClose={() => set({ node: "" })} />}
      <div className="panel">
        <div className="row" style={{ marginBottom: 10 }}>
          <div className="segments" role="group" aria-label={t("live.show")}>
            {["output", "timeline", "replay"].map((name) => (
              <button key={name} aria-pressed={address.show === name} onClick={() => set({ show: name })}>
                {t(`live.${name}`)}
              </button>
            ))}
          </div>
          {address.state !== "" && !replaying && <span className="muted small">{t("live.only", { state: t(`state.${address.state}`) })}</span>}
        </div>
        {!mayRead && address.show === "output" && <p className="note warn">{t("kit.needs", { permission: "output.read" })}</p>}
        {replaying ? (
          <Replay job={job} tasks={live.tasks} node={picked?.node ?? ""} onNode={(node) => set({ node })} />
        ) : address.show === "timeline" ? (
          <Timeline job={job} tasks={shown} onNode={open} />
        ) : (
          <Groups tasks={shown} output={live.output} version={live.version} onNode={open} />
        )}
      </div>
    </div>
  );
}

interface HeadProps {
  job: JobView;
  tasks: readonly TaskView[];
  line: string;
  onAgain: () => void;
}

function Head({ job, tasks, line, onAgain }: HeadProps) {
  const { t } = useTranslation();
  const now = useNow(1000);
  const ended = job.finished_at === null ? now : Date.parse(job.finished_at);
  const seconds = job.created_at === null ? 0 : Math.max(0, ended - Date.parse(job.created_at)) / 1000;
  return (
    <div className="stack" style={{ marginBottom: 12 }}>
      <div className="head" style={{ marginBottom: 0 }}>
        <State state={job.state === "open" && isHeld(tasks) ? "pending_approval" : job.state} />
        <h1 className="mono">{job.command || job.name}</h1>
        {job.state === "open" && <span className={line === "open" ? "live" : "live off"}>{t(line === "open" ? "kit.live" : "kit.reconnecting")}</span>}
      </div>
      <div className="row small muted">
        <Link to={`/jobs/${job.job}`} className="mono">
          {job.job}
        </Link>
        {job.name && <span>{job.name}</span>}
        <span className="mono break">{job.target}</span>
        <span>{t("live.nodes", { count: job.nodes })}</span>
        <span>
          <When at={job.created_at} />
        </span>
        <span>{job.created_by}</span>
        <span role="timer">{duration(seconds)}</span>
      </div>
      <Actions job={job} tasks={tasks} onAgain={onAgain} />
    </div>
  );
}

function Actions({ job, tasks, onAgain }: { job: JobView; tasks: readonly TaskView[]; onAgain: () => void }) {
  const { t } = useTranslation();
  const [asking, setAsking] = useState<"" | "cancel" | "retry">("");
  const mayCancel = useMay("exec.cancel");
  const mayRun = useMay("exec.run");
  const cancel = useCancel(job.job);
  const retry = useRetry(job.job);
  const running = tasks.filter((task) => OPEN.includes(task.state)).length;
  const failed = tasks.filter((task) => !OPEN.includes(task.state) && task.state !== "succeeded").length;
  const denied = (allowed: boolean, permission: string) => (allowed ? undefined : t("kit.needs", { permission }));
  const trouble = cancel.error ?? retry.error;
  const askSubmitted = useAskSubmitted(job.job);
  const line = () => askSubmitted().then((submitted) => jobLine(job.job, submitted), () => jobLine(job.job, undefined));
  return (
    <>
      <div className="row">
        <button className="danger" disabled={running === 0 || job.cancel_asked || !mayCancel} title={denied(mayCancel, "exec.cancel")} onClick={() => setAsking("cancel")}>
          {job.cancel_asked && running > 0 ? t("live.cancelling") : t("live.cancel")}
        </button>
        <button disabled={failed === 0 || !mayRun} title={denied(mayRun, "exec.run")} onClick={() => setAsking("retry")}>
          {failed > 0 ? t("live.retry", { count: failed }) : t("live.retry_none")}
        </button>
        <Copy text={line} label={t("live.copy_cli")} />
        {job.kind !== "file" && (
          <Link className="button" to={`/run?again=${job.job}`}>
            {t("live.run_again")}
          </Link>
        )}
      </div>
      {trouble !== null && <Trouble error={trouble} />}
      {asking === "cancel" && (
        <Confirm title={t("live.cancel_title")} action={t("live.cancel")} count={running} busy={cancel.isPending} onClose={() => setAsking("")} onYes={() => cancel.mutate(null, { onSettled: () => setAsking("") })}>
          <p>{t("live.cancel_text", { count: running })}</p>
        </Confirm>
      )}
      {asking === "retry" && (
        <Confirm
          title={t("live.retry_title")}
          action={t("live.retry", { count: failed })}
          count={failed}
          danger={false}
          busy={retry.isPending}
          onClose={() => setAsking("")}
          onYes={() => retry.mutate(null, { onSuccess: onAgain, onSettled: () => setAsking("") })}
        >
          <p>{t("live.retry_text", { count: failed })}</p>
        </Confirm>
      )}
    </>
  );
}
