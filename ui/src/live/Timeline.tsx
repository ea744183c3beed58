// A bar a node: waiting, then running. The slowest stand first, and a line says where 95 % were done.
import { useVirtualizer } from "@tanstack/react-virtual";
import { useMemo, useRef } from "react";
import { useTranslation } from "react-i18next";
import type { JobView, TaskView } from "../api/types";
import { look, State } from "../kit/states";
import { duration, useNow } from "../kit/when";
import { bars, type Bar } from "./bars";

const ROW_PIXELS = 26;

export function Timeline({ job, tasks, onNode }: { job: JobView; tasks: readonly TaskView[]; onNode: (node: string) => void }) {
  const { t } = useTranslation();
  const box = useRef<HTMLDivElement>(null);
  const now = useNow(job.state === "open" ? 1000 : 60_000);
  const drawn = useMemo(() => bars(job, tasks, now), [job, tasks, now]);
  const view = useVirtualizer({ count: drawn.rows.length, getScrollElement: () => box.current, estimateSize: () => ROW_PIXELS, overscan: 12 });
  return (
    <div className="timeline">
      <div className="axis small muted" aria-hidden="true">
        <span>{"0"}</span>
        <span>{duration(drawn.total / 2)}</span>
        <span>{duration(drawn.total)}</span>
      </div>
      <div ref={box} className="bars" tabIndex={0} role="region" aria-label={t("live.timeline")}>
        <div style={{ height: view.getTotalSize(), position: "relative" }}>
          {view.getVirtualItems().map((item) => {
            const row = drawn.rows[item.index];
            return row && <BarRow key={row.task.node} row={row} p95={drawn.p95} top={item.start} onNode={onNode} />;
          })}
        </div>
      </div>
      {drawn.p95 !== null && (
        <p className="small muted about">
          <i aria-hidden="true" /> {t("live.p95", { time: duration((drawn.p95 / 100) * drawn.total) })} {drawn.late > 0 && t("live.late", { count: drawn.late })}
        </p>
      )}
    </div>
  );
}

function BarRow({ row, p95, top, onNode }: { row: Bar; p95: number | null; top: number; onNode: (node: string) => void }) {
  const { task } = row;
  return (
    <div className="bar-row" style={{ transform: `translateY(${top}px)` }}>
      <button className="plain mono one-line" onClick={() => onNode(task.node)}>
        {task.node}
      </button>
      <State state={task.state} />
      <div className="track">
        {p95 !== null && <i className="p95" style={{ left: `${p95}%` }} />}
        <span className="wait" style={{ left: `${row.from}%`, width: `${Math.max(0, row.begun - row.from)}%` }} />
        {row.ended > row.begun && <span className={look(task.state).tone} style={{ left: `${row.begun}%`, width: `max(3px, ${row.ended - row.begun}%)` }} />}
      </div>
      <span className="small nowrap">{row.seconds === null ? "" : duration(row.seconds)}</span>
    </div>
  );
}
