// What a job printed, in the time it took: rows with their moments, the beginning and end of each task, idle time cut short. Pure.
//
// Times are those at which the server stored the output, as `corral audit replay` has them. Memory is bounded as in output.ts: the first
// ALL_KEPT characters are held, and what comes after them is not read at all; `full` says so.
import { ALL_KEPT, NodeOutput, ROW_COST, type Chunk, type Row } from "./output";
import { parseLine, PLAIN, type Style } from "./sgr";

/** A pause longer than this is played in this time when idle time is cut. */
export const IDLE_SECONDS = 2;
const GROWTH_COST = ROW_COST / 4;
const TICKS = 200;
/** What is counted from zero and back is not the same to the last bit. */
const HAIR = 0.001;

/** As much of a task as a replay shows. */
export interface Played {
  node: string;
  state: string;
  attempt: number;
  exit_code: number | null;
  started_at: string | null;
  finished_at: string | null;
}

export interface Printed {
  at: number;
  node: string;
  row: Row;
  start: Style;
  /** Bytes its node had written with it: what its time is guessed by where none is stored. */
  done: number;
  /** Of a row that came in pieces: how long it was from when on. */
  grown: { at: number; length: number }[] | null;
}

export interface Mark {
  at: number;
  node: string;
  /** "began", or the state in which it ended. */
  what: string;
  task: Played;
}

export type Moment = Printed | Mark;

export function isMark(moment: Moment): moment is Mark {
  return "what" in moment;
}

interface Writer {
  output: NodeOutput;
  last: number;
  done: number;
  entry: Printed | null;
}

/** Takes chunks as they are read, in the order of the log. */
export class ReplayLog {
  readonly rows: Printed[] = [];
  /** No more is taken: memory for it has run out. */
  full = false;
  /** Every piece had a stored time. */
  exact = true;
  /** Encoded bytes taken, for whoever waits. */
  taken = 0;
  private cost = 0;
  private readonly writers = new Map<string, Writer>();

  constructor(private readonly most = ALL_KEPT) {}

  feed(chunk: Chunk): void {
    if (this.full) return;
    const writer = this.writer(chunk.node);
    const at = Math.max(writer.last, chunk.at ?? 0);
    if (!chunk.at) this.exact = false;
    writer.last = at;
    const { output } = writer;
    const fresh = chunk.attempt > output.attempt;
    const before = fresh ? 0 : output.rows.length;
    this.taken += chunk.data.length;
    writer.done += chunk.data.length;
    output.feed({ ...chunk, at }, Infinity);
    this.collect(chunk.node, writer, before, at);
    this.full = this.cost > this.most;
  }

  /** No more will come: what was held back, its holes named. */
  finish(): void {
    for (const [node, writer] of this.writers) {
      const before = writer.output.rows.length;
      writer.output.finish(Infinity);
      this.collect(node, writer, before, writer.last);
    }
  }

  private collect(node: string, writer: Writer, before: number, at: number): void {
    const { rows } = writer.output;
    const open = writer.entry;
    const grown = rows[before - 1];
    if (open !== null && grown !== undefined && grown.text.length > open.row.text.length) {
      this.cost += grown.text.length - open.row.text.length;
      if (at > open.at) {
        if (open.grown === null) open.grown = [{ at: open.at, length: open.row.text.length }];
        open.grown.push({ at, length: grown.text.length });
        this.cost += GROWTH_COST;
      }
      open.row = grown;
    }
    for (const row of rows.slice(before)) {
      writer.entry = { at, node, row, start: PLAIN, done: writer.done, grown: null };
      this.rows.push(writer.entry);
      this.cost += row.text.length + ROW_COST;
    }
    // Only the last row can still grow; the others are ours now.
    if (rows.length > 1) writer.output.rows = rows.slice(-1);
  }

  private writer(node: string): Writer {
    let writer = this.writers.get(node);
    if (writer === undefined) {
      writer = { output: new NodeOutput(), last: 0, done: 0, entry: null };
      this.writers.set(node, writer);
    }
    return writer;
  }

  /** Where no times are stored, a task's output is spread evenly over its run. */
  spread(tasks: ReadonlyMap<string, Played>): void {
    if (this.exact) return;
    for (const printed of this.rows) {
      const task = tasks.get(printed.node);
      const first = seconds(task?.started_at) ?? 0;
      const last = seconds(task?.finished_at) ?? first;
      printed.at = first + ((last - first) * printed.done) / Math.max(1, this.writers.get(printed.node)?.done ?? 1);
      printed.grown = null;
    }
  }
}

export interface Replayed {
  moments: Moment[];
  marks: Mark[];
  /** Every second, from the first moment, at which something is shown anew. */
  times: number[];
  /** Seconds since the epoch of the first moment. */
  zero: number;
  /** Seconds from the first moment to the last. */
  length: number;
}

/** Everything in order. Output of nodes that are not among `tasks` is not shown. */
export function replayed(log: ReplayLog, tasks: readonly Played[]): Replayed {
  const shown = new Map(tasks.map((task) => [task.node, task]));
  log.spread(shown);
  const moments: Moment[] = log.rows.filter((printed) => shown.has(printed.node));
  const last = new Map<string, number>();
  const styles = new Map<string, Style>();
  for (const printed of moments as Printed[]) {
    last.set(printed.node, Math.max(last.get(printed.node) ?? 0, printed.grown?.at(-1)?.at ?? printed.at));
    printed.start = styles.get(printed.node) ?? PLAIN;
    if (printed.row.text.includes("\x1b")) styles.set(printed.node, parseLine(printed.row.text, printed.start).after);
  }
  const marks = tasks.flatMap((task) => marksOf(task, last.get(task.node) ?? 0));
  // Stable, so within a moment what was printed stands before how it ended; and a beginning before what it printed.
  const order = [...marks.filter((mark) => mark.what === "began"), ...moments, ...marks.filter((mark) => mark.what !== "began")].sort((a, b) => a.at - b.at);
  const zero = order[0]?.at ?? 0;
  const times = order.map((moment) => moment.at - zero);
  for (const printed of moments as Printed[]) for (const step of printed.grown ?? []) times.push(step.at - zero);
  if (times.length > order.length) times.sort((a, b) => a - b);
  return { moments: order, marks, times, zero, length: times.at(-1) ?? 0 };
}

function marksOf(task: Played, last: number): Mark[] {
  const began = seconds(task.started_at);
  if (began === null) return [];
  const ended = seconds(task.finished_at);
  const mark = (at: number, what: string): Mark => ({ at, node: task.node, what, task });
  return ended === null ? [mark(began, "began")] : [mark(began, "began"), mark(Math.max(last, ended), task.state)];
}

function seconds(time: string | null | undefined): number | null {
  return time ? Date.parse(time) / 1000 : null;
}

/** How many moments have come by `position`, seconds from the first one. */
export function upTo({ moments, zero }: Replayed, position: number): number {
  return firstAfter(moments.length, (index) => (moments[index] as Moment).at - zero > position + HAIR);
}

/** The first index of an ascending list for which `after` holds; `count` when there is none. */
export function firstAfter(count: number, after: (index: number) => boolean): number {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (after(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** As much of a row as had come by then. */
export function rowAt(printed: Printed, zero: number, position: number): Row {
  if (printed.grown === null) return printed.row;
  let length = 0;
  for (const step of printed.grown) if (step.at - zero <= position + HAIR) length = step.length;
  return length === printed.row.text.length ? printed.row : { ...printed.row, text: printed.row.text.slice(0, length) };
}

/** `step` seconds of playing further. `cut`: of a pause longer than IDLE_SECONDS the rest is passed over. */
export function advance({ times, length }: Replayed, position: number, step: number, cut: boolean): number {
  let at = position;
  let left = step;
  while (cut && left > 0) {
    const index = firstAfter(times.length, (one) => (times[one] as number) > at + HAIR);
    const ahead = times[index];
    if (ahead === undefined) break;
    const idle = (times[index - 1] ?? 0) + IDLE_SECONDS;
    if (ahead > idle && at + left > idle) {
      left -= Math.max(0, idle - at);
      at = ahead;
    } else if (at + left >= ahead) {
      left -= Math.max(0, ahead - at);
      at = ahead;
    } else break;
  }
  return Math.min(length, at + left);
}

export interface Tick {
  /** Percent of the whole. */
  left: number;
  what: string;
}

/** Where the marks stand, at most one of a kind in a place the eye can tell from the next. */
export function ticks({ marks, zero, length }: Replayed): Tick[] {
  const found = new Map<string, Tick>();
  for (const mark of marks) {
    const left = (Math.round(((mark.at - zero) / Math.max(length, 0.001)) * TICKS) * 100) / TICKS;
    found.set(`${left} ${mark.what}`, { left: Math.min(100, left), what: mark.what });
  }
  return [...found.values()];
}
