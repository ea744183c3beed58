// One job followed live: its snapshot, tasks and output as they come. Resumed by Last-Event-ID; redrawn at most five times a second.
import { useEffect, useMemo, useRef, useSyncExternalStore } from "react";
import { listen } from "../api/sse";
import type { JobView, TaskView } from "../api/types";
import { JobOutput, type Chunk } from "../text/output";

const REDRAW_MILLISECONDS = 200;

export interface LiveState {
  job: JobView | null;
  tasks: readonly TaskView[];
  /** Changes whenever `output` did. */
  version: number;
  line: "open" | "waiting" | "over" | "refused";
}

export class LiveJob {
  readonly output = new JobOutput();
  private state: LiveState = { job: null, tasks: [], version: 0, line: "waiting" };
  private next: LiveState = this.state;
  private tasks = new Map<string, TaskView>();
  private listeners = new Set<() => void>();
  private timer: ReturnType<typeof setTimeout> | null = null;

  constructor(
    private readonly id: string,
    private readonly withOutput: boolean,
    before: LiveState | null = null,
  ) {
    if (before !== null) {
      this.state = this.next = { ...before, version: before.version + 1, line: "waiting" };
      this.tasks = new Map(before.tasks.map((task) => [task.node, task]));
    }
  }

  start(): () => void {
    return listen(`/jobs/${encodeURIComponent(this.id)}/events${this.withOutput ? "?output=1" : ""}`, {
      endsWith: ["end"],
      onState: (line) => this.change({ line }),
      onEvent: (event) => this.take(event.event, event.data),
    });
  }

  take(event: string, data: string): void {
    if (event === "output") {
      this.output.feed(JSON.parse(data) as Chunk);
      this.change({ version: this.next.version + 1 });
    } else if (event === "snapshot") {
      const given = JSON.parse(data) as { job: JobView; tasks: TaskView[] };
      this.tasks = new Map(given.tasks.map((task) => [task.node, task]));
      this.change({ job: given.job, tasks: [...this.tasks.values()] });
    } else if (event === "task") {
      for (const task of (JSON.parse(data) as { tasks: TaskView[] }).tasks) this.tasks.set(task.node, task);
      this.change({ tasks: EMPTY });
    } else if (event === "job" || event === "end") {
      if (event === "end") this.output.finish();
      this.change({ job: JSON.parse(data) as JobView, version: this.next.version + 1 });
    }
  }

  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  read = (): LiveState => this.state;

  private change(part: Partial<LiveState>): void {
    this.next = { ...this.next, ...part };
    this.timer ??= setTimeout(() => {
      this.timer = null;
      if (this.next.tasks === EMPTY) this.next = { ...this.next, tasks: [...this.tasks.values()].sort((a, b) => (a.node < b.node ? -1 : 1)) };
      this.state = this.next;
      for (const listener of this.listeners) listener();
    }, REDRAW_MILLISECONDS);
  }
}

/** Marks that the list of tasks has to be made anew at the next redraw: once for many events. */
const EMPTY: readonly TaskView[] = Object.freeze([]);

/** `again` is raised to follow anew, as after a retry: an ended stream stays ended. */
export function useLiveJob(id: string, withOutput: boolean, again: number) {
  const last = useRef<{ id: string; live: LiveJob } | null>(null);
  const live = useMemo(() => {
    // What is known of the same job stands until the new stream says it anew.
    const before = last.current?.id === id ? last.current.live.read() : null;
    return { job: new LiveJob(id, withOutput, before), again };
  }, [id, withOutput, again]).job;
  useEffect(() => {
    last.current = { id, live };
    return live.start();
  }, [id, live]);
  const state = useSyncExternalStore(live.subscribe, live.read);
  return { ...state, output: live.output };
}
