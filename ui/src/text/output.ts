// What nodes wrote, kept within bounds while it runs: lines of each node, and the groups of nodes that wrote the same.
//
// Whatever arrives, memory stays bounded: a node keeps its last KEPT characters (its share of ALL_KEPT); of the rest remain length and
// digest. The exact bytes are on the server, and Download gives them.
import { Assembler, Digest } from "./assembler";

const KEPT_MOST = 1 << 20;
const KEPT_LEAST = 16 << 10;
export const ALL_KEPT = 48 << 20;
/** A line longer than this is shown in parts, so that one line of a megabyte costs no more than a thousand short ones. */
export const ROW_CHARACTERS = 2_000;

/** What an empty row costs, in characters: many short lines are bounded as well as few long ones. */
export const ROW_COST = 64;

export type StreamName = "stdout" | "stderr" | "note";

export interface Row {
  stream: StreamName;
  text: string;
  /** Goes on from the row before: the same line. */
  more: boolean;
  /** When its first bytes were stored, in seconds since the epoch; 0 where nobody says. */
  at: number;
}

export interface Chunk {
  node: string;
  attempt: number;
  stream: string;
  offset: number;
  data: string;
  skipped: number;
  at?: number;
}

interface Stream {
  assembler: Assembler;
  decoder: TextDecoder;
  digest: Digest;
  length: number;
}

export class NodeOutput {
  attempt = 0;
  rows: Row[] = [];
  /** Characters in `rows`. */
  kept = 0;
  /** Rows dropped at the front. */
  dropped = 0;
  version = 0;
  private streams = new Map<string, Stream>();
  private open: StreamName | null = null;
  private at = 0;

  feed(chunk: Chunk, keep: number): void {
    if (chunk.attempt < this.attempt) return;
    if (chunk.attempt > this.attempt) this.restart(chunk.attempt);
    this.at = chunk.at ?? 0;
    const stream = this.stream(chunk.stream);
    for (const part of stream.assembler.feed(chunk.offset, decode(chunk.data), chunk.skipped)) {
      if ("bytes" in part) {
        stream.digest.update(part.bytes);
        stream.length += part.bytes.length;
        this.write(chunk.stream === "stderr" ? "stderr" : "stdout", stream.decoder.decode(part.bytes, { stream: true }));
      } else this.gap(part.gap, part.dropped);
    }
    this.trim(keep);
    this.version += 1;
  }

  finish(keep: number): void {
    for (const [name, stream] of this.streams) {
      for (const part of stream.assembler.finish()) {
        if ("bytes" in part) {
          stream.digest.update(part.bytes);
          stream.length += part.bytes.length;
          this.write(name === "stderr" ? "stderr" : "stdout", stream.decoder.decode(part.bytes, { stream: true }));
        } else this.gap(part.gap, part.dropped);
      }
    }
    this.trim(keep);
    this.version += 1;
  }

  /** Equal exactly when the bytes of both streams are equal (beyond what is kept: as far as their digests tell). */
  get key(): string {
    return ["stdout", "stderr"].map((name) => this.streams.get(name)).map((one) => (one === undefined || one.length === 0 ? "-" : `${one.length}.${one.digest.value}`)).join(" ");
  }

  text(stream: StreamName): string {
    return this.rows.filter((row) => row.stream === stream).map((row) => (row.more ? row.text : `\n${row.text}`)).join("");
  }

  private restart(attempt: number): void {
    this.attempt = attempt;
    this.rows = [];
    this.kept = this.dropped = 0;
    this.streams.clear();
    this.open = null;
  }

  private stream(name: string): Stream {
    let stream = this.streams.get(name);
    if (stream === undefined) {
      stream = { assembler: new Assembler(), decoder: new TextDecoder(), digest: new Digest(), length: 0 };
      this.streams.set(name, stream);
    }
    return stream;
  }

  private gap(bytes: number, dropped: boolean): void {
    this.rows.push({ stream: "note", text: `${dropped ? "left-out" : "missing"}:${bytes}`, more: false, at: this.at });
    this.open = null;
  }

  /** A carriage return alone begins a new row: what a progress bar overwrote stays readable, and nothing can be hidden that way. */
  private write(stream: StreamName, text: string): void {
    if (text === "") return;
    const lines = text.replace(/\r+\n/g, "\n").split(/\n|\r(?!$)/);
    lines.forEach((line, index) => {
      const whole = line.endsWith("\r") ? line.slice(0, -1) : line;
      let more = index === 0 && this.open === stream;
      if (index === lines.length - 1 && whole === "") {
        this.open = more && lines.length === 1 ? stream : null;
        return;
      }
      let from = 0;
      do {
        const last = this.rows[this.rows.length - 1];
        if (more && last !== undefined && last.stream === stream && last.text.length < ROW_CHARACTERS) {
          const part = whole.slice(from, from + ROW_CHARACTERS - last.text.length);
          this.rows[this.rows.length - 1] = { ...last, text: last.text + part };
          from += part.length;
          this.kept += part.length;
        } else {
          const part = whole.slice(from, from + ROW_CHARACTERS);
          this.rows.push({ stream, text: part, more, at: this.at });
          from += part.length;
          this.kept += part.length + ROW_COST;
        }
        more = true;
      } while (from < whole.length);
      this.open = index === lines.length - 1 ? stream : null;
    });
  }

  private trim(keep: number): void {
    if (this.kept <= keep) return;
    let cut = 0;
    while (this.kept > keep * 0.9 && cut < this.rows.length - 1) {
      this.kept -= (this.rows[cut] as Row).text.length + ROW_COST;
      cut += 1;
    }
    this.rows = this.rows.slice(cut);
    this.dropped += cut;
  }
}

export interface Group {
  id: string;
  state: string;
  /** Of a task that failed; null also where `detail` says it. */
  code: number | null;
  reason: string;
  reason_text: string;
  detail: string;
  nodes: string[];
  output: NodeOutput | null;
}

export interface Ended {
  node: string;
  state: string;
  exit_code: number | null;
  reason: string;
  reason_text: string;
  detail: string;
}

/** Outputs of all nodes of one job. */
export class JobOutput {
  readonly nodes = new Map<string, NodeOutput>();

  feed(chunk: Chunk): void {
    let node = this.nodes.get(chunk.node);
    if (node === undefined) {
      node = new NodeOutput();
      this.nodes.set(chunk.node, node);
    }
    node.feed(chunk, this.share);
  }

  finish(): void {
    for (const node of this.nodes.values()) node.finish(this.share);
  }

  private get share(): number {
    return Math.max(KEPT_LEAST, Math.min(KEPT_MOST, ALL_KEPT / Math.max(1, this.nodes.size)));
  }
}

/** Nodes that ended alike and wrote the same bytes share a group; what failed comes first, then the largest. */
export function grouped(tasks: Iterable<Ended>, output: JobOutput): Group[] {
  const buckets = new Map<string, Group[]>();
  const all: Group[] = [];
  for (const task of tasks) {
    const wrote = output.nodes.get(task.node) ?? null;
    const ending = endingOf(task);
    const key = `${task.state}\u0000${ending.code}\u0000${ending.reason}\u0000${ending.detail}\u0000${wrote?.key ?? "- -"}`;
    const bucket = buckets.get(key) ?? [];
    buckets.set(key, bucket);
    const found = bucket.find((group) => same(group.output, wrote));
    if (found !== undefined) found.nodes.push(task.node);
    else {
      const made = { id: `${key}${bucket.length}`, state: task.state, ...ending, nodes: [task.node], output: wrote };
      bucket.push(made);
      all.push(made);
    }
  }
  const rank = (group: Group) => (["queued", "delivered"].includes(group.state) ? 3 : group.state === "running" ? 2 : group.state === "succeeded" ? 1 : 0);
  return all.sort((a, b) => rank(a) - rank(b) || b.nodes.length - a.nodes.length || (a.nodes[0] ?? "").localeCompare(b.nodes[0] ?? ""));
}

/** The digest could be made to collide by who writes the output, so what is kept is compared as well. */
function same(a: NodeOutput | null, b: NodeOutput | null): boolean {
  if (a === null || b === null || a.dropped > 0 || b.dropped > 0) return true;
  if (a.rows.length === b.rows.length && a.rows.every((row, index) => alike(row, b.rows[index] as Row))) return true;
  return a.text("stdout") === b.text("stdout") && a.text("stderr") === b.text("stderr");
}

function alike(a: Row, b: Row): boolean {
  return a.text === b.text && a.stream === b.stream && a.more === b.more;
}

type Ending = Pick<Group, "code" | "reason" | "reason_text" | "detail">;
const NO_ENDING: Ending = { code: null, reason: "", reason_text: "", detail: "" };

function endingOf(task: Ended): Ending {
  if (task.state === "succeeded" || ["queued", "delivered", "running"].includes(task.state)) return NO_ENDING;
  const { detail, reason, reason_text } = task;
  return { code: detail.includes(`exit ${task.exit_code}`) ? null : task.exit_code, detail, reason, reason_text };
}

function decode(base64: string): Uint8Array {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let index = 0; index < text.length; index += 1) bytes[index] = text.charCodeAt(index);
  return bytes;
}
