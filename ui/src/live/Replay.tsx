// What a job printed, in the time it took, as `corral audit replay` shows it: played, wound, of one node or all.
import { useMemo, useState } from "react";
import { useTranslation } from "react-i18next";
import type { JobView, TaskView } from "../api/types";
import { useReplay } from "../data/replay";
import { useMay } from "../data/session";
import { Empty, Loading } from "../kit/asked";
import { State } from "../kit/states";
import { bytes, duration } from "../kit/when";
import { isMark, replayed, rowAt, upTo, type Mark, type Moment, type Replayed } from "../text/replay";
import { Downloads } from "./LogView";
import { Player } from "./Player";
import { Rows, type Drawn } from "./Rows";
import { RowText } from "./RowText";

interface Props {
  job: JobView;
  tasks: readonly TaskView[];
  node: string;
  onNode: (node: string) => void;
}

export function Replay({ job, tasks, node, onNode }: Props) {
  const { t } = useTranslation();
  const mayRead = useMay("output.read");
  const [turn, setTurn] = useState(0);
  const over = job.state !== "open";
  const reading = useReplay(job.job, node, mayRead, over, turn);
  const shown = useMemo(() => (node === "" ? tasks : tasks.filter((task) => task.node === node)), [tasks, node]);
  // While the job runs, tasks change and what is read does not: it is put together anew only when it was read on.
  const played = useMemo(() => (reading.state === "read" ? replayed(reading.log, shown) : null), [reading.log, reading.state, reading.version, over, node]);
  if (!mayRead) return <p className="note warn">{t("kit.needs", { permission: "output.read" })}</p>;
  if (reading.state === "refused") return <Empty title={t("replay.refused")} />;
  return (
    <div className="stack log replay">
      <div className="row">
        <select aria-label={t("replay.node")} value={node} onChange={(event) => onNode(event.target.value)}>
          <option value="">{t("replay.all", { count: tasks.length })}</option>
          {tasks.map((task) => (
            <option key={task.node}>{task.node}</option>
          ))}
        </select>
        {shown.length === 1 && shown[0] && <Downloads job={job.job} task={shown[0]} />}
        {!over && (
          <>
            <span className="muted small">{t("replay.running")}</span>
            <button disabled={reading.state === "reading" || reading.log.full} onClick={() => setTurn(turn + 1)}>
              {t("replay.read_on")}
            </button>
          </>
        )}
      </div>
      {played === null ? (
        <>
          <Loading lines={3} />
          <p className="muted small">{t("replay.reading", { size: bytes((reading.log.taken * 3) / 4) })}</p>
        </>
      ) : played.moments.length === 0 ? (
        <Empty title={t("replay.nothing")}>{t("replay.nothing_why")}</Empty>
      ) : (
        <Stage key={node} played={played} version={reading.version} several={shown.length > 1} full={reading.log.full} exact={reading.log.exact} over={over} />
      )}
    </div>
  );
}

interface StageProps {
  played: Replayed;
  version: number;
  several: boolean;
  full: boolean;
  exact: boolean;
  over: boolean;
}

function Stage({ played, version, several, full, exact, over }: StageProps) {
  const { t } = useTranslation();
  const [position, setPosition] = useState(0);
  const [wrap, setWrap] = useState(true);
  const [follow, setFollow] = useState(true);
  const count = upTo(played, position);
  const silent = played.moments.length === played.marks.length;
  return (
    <>
      <Player
        played={played}
        position={position}
        onPosition={(next) => {
          setFollow(true);
          setPosition(next);
        }}
        onPlayed={setPosition}
      />
      <div className="row small">
        <span className="muted">{t(silent ? (over ? "replay.no_output" : "live.nothing_yet") : exact ? "replay.exact" : "replay.spread")}</span>
        <span className="grow" />
        <button aria-pressed={follow} onClick={() => setFollow(!follow)}>
          {t("live.follow")}
        </button>
        <button aria-pressed={wrap} onClick={() => setWrap(!wrap)}>
          {t("live.wrap")}
        </button>
      </div>
      {full && (
        <p className="note warn small">
          {t("replay.full", { count: played.moments.length - played.marks.length, time: duration(lastPrinted(played)) })} {several && t("replay.choose")}
        </p>
      )}
      <Rows
        count={count}
        label={t("replay.label")}
        wrap={wrap}
        follow={follow}
        onLeave={() => setFollow(false)}
        version={version}
        draw={(index) => drawn(played.moments[index], played.zero, position, several)}
      >
        <p className="muted">{t("live.nothing_yet")}</p>
      </Rows>
    </>
  );
}

function drawn(moment: Moment | undefined, zero: number, position: number, several: boolean): Drawn | null {
  if (moment === undefined) return null;
  if (isMark(moment)) return { className: "row-mark", inside: <MarkText mark={moment} at={moment.at - zero} /> };
  const row = rowAt(moment, zero, position);
  return {
    className: `row-${row.stream}${row.more ? " more" : ""}`,
    inside: (
      <>
        {several && <span className="prefix">{moment.node}</span>}
        <RowText row={row} start={moment.start} />
      </>
    ),
  };
}

function MarkText({ mark, at }: { mark: Mark; at: number }) {
  const { t } = useTranslation();
  const { node, task, what } = mark;
  return (
    <>
      <span className="prefix">{`+${at.toFixed(3)} s`}</span>
      {what === "began" ? (
        t(task.attempt > 1 ? "replay.began_again" : "replay.began", { node, attempt: task.attempt })
      ) : (
        <>
          {node} <State state={what} /> {task.exit_code !== null && t("live.exit", { code: task.exit_code })}
        </>
      )}
    </>
  );
}

function lastPrinted({ moments, zero }: Replayed): number {
  for (let index = moments.length - 1; index >= 0; index -= 1) {
    const moment = moments[index] as Moment;
    if (!isMark(moment)) return moment.at - zero;
  }
  return 0;
}
