// Where the bars of a timeline begin and end, in percent of the whole job. Pure.
import type { JobView, TaskView } from "../api/types";

export interface Bar {
  task: TaskView;
  from: number;
  begun: number;
  ended: number;
  /** How long it ran (so far); null when it never began. */
  seconds: number | null;
}

export interface Bars {
  rows: Bar[];
  /** Seconds from the job's creation to its end, or to now. */
  total: number;
  /** Where 95 % of all tasks had ended; null before that many have. */
  p95: number | null;
  /** How many ended later, or have not ended. */
  late: number;
}

export function bars(job: JobView, tasks: readonly TaskView[], now: number): Bars {
  const zero = Date.parse(job.created_at ?? "") || now;
  const at = (time: string | null) => (time === null ? null : Date.parse(time));
  const lastEnd = Math.max(zero, ...tasks.map((task) => at(task.finished_at) ?? 0));
  const end = job.state === "open" ? Math.max(now, lastEnd) : Math.max(at(job.finished_at) ?? 0, lastEnd);
  const total = Math.max(1, end - zero);
  const share = (time: number) => Math.min(100, Math.max(0, (100 * (time - zero)) / total));
  const rows = tasks.map((task) => {
    const started = at(task.started_at);
    const finished = at(task.finished_at) ?? (job.state === "open" ? end : (started ?? zero));
    const queued = at(task.queued_at) ?? zero;
    return {
      task,
      from: share(queued),
      begun: share(started ?? finished),
      ended: share(finished),
      seconds: started === null ? null : Math.max(0, finished - started) / 1000,
    };
  });
  const ends = rows.filter((row) => row.task.finished_at !== null).map((row) => row.ended).sort((a, b) => a - b);
  const p95 = rows.length < 5 ? null : (ends[Math.ceil(rows.length * 0.95) - 1] ?? null);
  const late = p95 === null ? 0 : rows.length - ends.filter((end) => end <= p95).length;
  rows.sort((a, b) => b.ended - a.ended || (a.task.node < b.task.node ? -1 : 1));
  return { rows, total: total / 1000, p95, late };
}
