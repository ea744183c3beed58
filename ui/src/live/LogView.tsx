// The output of one node: a window of rows over however many there are, searched, followed, wrapped, downloaded.
import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useMemo, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import type { TaskView } from "../api/types";
import { State } from "../kit/states";
import { duration } from "../kit/when";
import type { JobOutput, Row } from "../text/output";
import { plain, PLAIN, startStyles } from "../text/sgr";
import { RowText } from "./RowText";
import { Why } from "./Why";

const ROW_PIXELS = 18;
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
  const box = useRef<HTMLDivElement>(null);
  const [follow, setFollow] = useState(true);
  const [wrap, setWrap] = useState(true);
  const [text, setText] = useState("");
  const [hit, setHit] = useState(0);
  const node = output.nodes.get(task.node);
  const rows = useMemo(() => node?.rows.slice() ?? NONE, [node, version]);
  const starts = useMemo(() => startStyles(rows), [rows]);
  const find = text.trim().toLowerCase();
  const hits = useMemo(() => {
    if (find === "") return [];
    const found: number[] = [];
    rows.forEach((row, index) => {
      if (row.stream !== "note" && plain(row.text).toLowerCase().includes(find)) found.push(index);
    });
    return found;
  }, [rows, find]);
  const view = useVirtualizer({
    count: rows.length,
    getScrollElement: () => box.current,
    estimateSize: () => ROW_PIXELS,
    overscan: 20,
    measureElement: (element) => element.getBoundingClientRect().height,
  });
  useEffect(() => {
    if (follow && rows.length > 0) view.scrollToIndex(rows.length - 1, { align: "end" });
  }, [rows.length, version, follow, view]);
  useEffect(() => view.measure(), [wrap, view]);
  const goTo = (next: number) => {
    if (hits.length === 0) return;
    const index = (next + hits.length) % hits.length;
    setFollow(false);
    setHit(index);
    view.scrollToIndex(hits[index] ?? 0, { align: "center" });
  };
  const raw = (stream: string) => `/api/v1/jobs/${encodeURIComponent(job)}/output/raw?node=${encodeURIComponent(task.node)}&stream=${stream}`;
  const took = task.started_at && task.finished_at ? (Date.parse(task.finished_at) - Date.parse(task.started_at)) / 1000 : null;
  return (
    <section className="panel log" aria-label={t("live.output_of", { node: task.node })}>
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
        {find !== "" && <span className="muted small" role="status">{hits.length === 0 ? t("live.no_hits") : t("live.hit_of", { at: hit + 1, count: hits.length })}</span>}
        <button aria-pressed={follow} onClick={() => setFollow(!follow)}>
          {t("live.follow")}
        </button>
        <button aria-pressed={wrap} onClick={() => setWrap(!wrap)}>
          {t("live.wrap")}
        </button>
        <span className="grow" />
        <a className="button" href={raw("stdout")} download>
          {t("live.download")}
        </a>
        {task.stderr_bytes > 0 && (
          <a className="button" href={raw("stderr")} download>
            {t("live.download_stderr")}
          </a>
        )}
      </div>
      {(node?.dropped ?? 0) > 0 && <p className="muted small">{t("live.dropped", { count: node?.dropped ?? 0 })}</p>}
      <div
        ref={box}
        className={wrap ? "rows wrap" : "rows"}
        tabIndex={0}
        role="log"
        aria-live="off"
        aria-label={t("live.output_of", { node: task.node })}
        onWheel={(event) => event.deltaY < 0 && setFollow(false)}
        onKeyDown={(event) => ["ArrowUp", "PageUp", "Home"].includes(event.key) && setFollow(false)}
      >
        {rows.length === 0 && <p className="muted">{t(["queued", "delivered", "running"].includes(task.state) ? "live.nothing_yet" : "live.nothing")}</p>}
        <div style={{ height: view.getTotalSize(), position: "relative" }}>
          {view.getVirtualItems().map((item) => {
            const row = rows[item.index];
            if (row === undefined) return null;
            const found = find !== "" && hits[hit] === item.index;
            return (
              <div
                key={item.key}
                ref={wrap ? view.measureElement : undefined}
                data-index={item.index}
                className={`log-row row-${row.stream}${row.more ? " more" : ""}${found ? " hit" : ""}`}
                style={{ transform: `translateY(${item.start}px)` }}
              >
                <RowText row={row} start={starts[item.index] ?? PLAIN} find={find} />
              </div>
            );
          })}
        </div>
      </div>
      <Why job={job} task={task} />
    </section>
  );
}
