// The output of one node: searched, or only the lines with what is searched; jumped to a time; followed, wrapped, downloaded.
import { useMemo, useState } from "react";
import { useTranslation } from "react-i18next";
import type { TaskView } from "../api/types";
import { State } from "../kit/states";
import { duration } from "../kit/when";
import { clockOf, momentOf } from "../text/moment";
import type { JobOutput, Row } from "../text/output";
import { firstAfter } from "../text/replay";
import { plain, PLAIN, startStyles } from "../text/sgr";
import { Rows } from "./Rows";
import { RowText } from "./RowText";
import { Why } from "./Why";

const NONE: Row[] = [];

interface Props {
  job: string;
  task: TaskView;
  output: JobOutput;
  version: number;
  onClose: () => void;
}

export function LogView({ job, task, output, version, onClose }: Props) {
  const { t } = useTranslation();
  const [follow, setFollow] = useState(true);
  const [wrap, setWrap] = useState(true);
  const [times, setTimes] = useState(false);
  const [only, setOnly] = useState(false);
  const [text, setText] = useState("");
  const [hit, setHit] = useState(0);
  const [look, setLook] = useState({ index: 0, turn: 0 });
  const node = output.nodes.get(task.node);
  const rows = useMemo(() => node?.rows.slice() ?? NONE, [node, version]);
  const starts = useMemo(() => startStyles(rows), [rows]);
  const find = text.trim().toLowerCase();
  const hits = useMemo(() => matching(rows, find), [rows, find]);
  const narrow = only && find !== "";
  const count = narrow ? hits.length : rows.length;
  const rowOf = (index: number) => (narrow ? (hits[index] ?? 0) : index);
  const bring = (index: number) => {
    setFollow(false);
    setLook((before) => ({ index, turn: before.turn + 1 }));
  };
  const goTo = (next: number) => {
    if (hits.length === 0) return;
    const index = (next + hits.length) % hits.length;
    setHit(index);
    bring(narrow ? index : (hits[index] ?? 0));
  };
  return (
    <section className="panel log" aria-label={t("live.output_of", { node: task.node })}>
      <LogHead task={task} onClose={onClose} />
      <div className="row">
        <input
          type="search"
          value={text}
          placeholder={t("live.search")}
          aria-label={t("live.search")}
          data-filter="true"
          onChange={(event) => {
            setText(event.target.value);
            setHit(0);
          }}
          onKeyDown={(event) => {
            if (event.key === "Enter") goTo(hit + (event.shiftKey ? -1 : find === "" ? 0 : 1));
          }}
        />
        <button aria-pressed={only} title={t("live.only_hits_what")} onClick={() => setOnly(!only)}>
          {t("live.only_hits")}
        </button>
        {find !== "" && <span className="muted small" role="status">{hits.length === 0 ? t("live.no_hits") : t("live.hit_of", { at: hit + 1, count: hits.length })}</span>}
        <JumpToTime
          from={rows.find((row) => row.at > 0)?.at ?? 0}
          onTime={(at) => {
            setTimes(true);
            bring(Math.min(count - 1, firstAfter(count, (index) => (rows[rowOf(index)]?.at ?? 0) >= at)));
          }}
        />
        <button aria-pressed={times} onClick={() => setTimes(!times)}>
          {t("live.times")}
        </button>
        <button aria-pressed={follow} onClick={() => setFollow(!follow)}>
          {t("live.follow")}
        </button>
        <button aria-pressed={wrap} onClick={() => setWrap(!wrap)}>
          {t("live.wrap")}
        </button>
        <span className="grow" />
        <Downloads job={job} task={task} />
      </div>
      {(node?.dropped ?? 0) > 0 && <p className="muted small">{t("live.dropped", { count: node?.dropped ?? 0 })}</p>}
      <Rows
        count={count}
        label={t("live.output_of", { node: task.node })}
        wrap={wrap}
        follow={follow}
        onLeave={() => setFollow(false)}
        look={look}
        kind={`${narrow ? find : ""} ${times}`}
        version={version}
        draw={(index) => {
          const at = rowOf(index);
          const row = rows[at];
          if (row === undefined) return null;
          const found = find !== "" && hits[hit] === at;
          return {
            className: `row-${row.stream}${row.more ? " more" : ""}${found ? " hit" : ""}`,
            inside: (
              <>
                {times && <span className="prefix">{row.at > 0 && !row.more ? clockOf(row.at) : ""}</span>}
                <RowText row={row} start={starts[at] ?? PLAIN} find={find} />
              </>
            ),
          };
        }}
      >
        <p className="muted">{t(narrow ? "live.no_hits" : ["queued", "delivered", "running"].includes(task.state) ? "live.nothing_yet" : "live.nothing")}</p>
      </Rows>
      <Why job={job} task={task} />
    </section>
  );
}

function matching(rows: readonly Row[], find: string): number[] {
  if (find === "") return [];
  const found: number[] = [];
  rows.forEach((row, index) => {
    if (row.stream !== "note" && plain(row.text).toLowerCase().includes(find)) found.push(index);
  });
  return found;
}

function LogHead({ task, onClose }: { task: TaskView; onClose: () => void }) {
  const { t } = useTranslation();
  const took = task.started_at && task.finished_at ? (Date.parse(task.finished_at) - Date.parse(task.started_at)) / 1000 : null;
  return (
    <div className="row">
      <strong className="mono break">{task.node}</strong>
      <State state={task.state} />
      {task.exit_code !== null && <span className="muted">{t("live.exit", { code: task.exit_code })}</span>}
      {task.attempt > 1 && <span className="muted">{t("live.attempt", { count: task.attempt })}</span>}
      {took !== null && <span className="muted">{duration(took)}</span>}
      {task.unreachable && <span className="ink-warn">{t("live.unreachable")}</span>}
      <span className="grow" />
      <button className="plain" onClick={onClose} aria-label={t("kit.close")}>
        {"✕"}
      </button>
    </div>
  );
}

function JumpToTime({ from, onTime }: { from: number; onTime: (at: number) => void }) {
  const { t } = useTranslation();
  const [text, setText] = useState("");
  const [wrong, setWrong] = useState(false);
  return (
    <form
      className="row"
      onSubmit={(event) => {
        event.preventDefault();
        const at = momentOf(text, from);
        setWrong(at === null);
        if (at !== null) onTime(at);
      }}
    >
      <input
        className="mono"
        size={13}
        value={text}
        disabled={from === 0}
        placeholder={t("live.jump_example")}
        aria-label={t("live.jump")}
        title={t("live.jump_what")}
        aria-invalid={wrong}
        autoComplete="off"
        onChange={(event) => {
          setText(event.target.value);
          setWrong(false);
        }}
      />
      {wrong && (
        <span className="ink-bad small" role="alert">
          {t("live.jump_wrong", { value: text })}
        </span>
      )}
    </form>
  );
}

export function Downloads({ job, task }: { job: string; task: TaskView }) {
  const { t } = useTranslation();
  const raw = (stream: string) => `/api/v1/jobs/${encodeURIComponent(job)}/output/raw?node=${encodeURIComponent(task.node)}&stream=${stream}`;
  return (
    <>
      <a className="button" href={raw("stdout")} download>
        {t("live.download")}
      </a>
      {task.stderr_bytes > 0 && (
        <a className="button" href={raw("stderr")} download>
          {t("live.download_stderr")}
        </a>
      )}
    </>
  );
}
