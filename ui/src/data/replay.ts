// The stored output of a job with its times, read once for a replay; of a job that still runs, what has come so far and then what came since.
import { useEffect, useRef, useState } from "react";
import { listen } from "../api/sse";
import { query } from "../api/client";
import type { Chunk } from "../text/output";
import { ReplayLog } from "../text/replay";

const TOLD_MILLISECONDS = 300;

export interface Reading {
  log: ReplayLog;
  state: "reading" | "read" | "refused";
  /** Changes whenever `log` did. */
  version: number;
}

interface Kept {
  key: string;
  log: ReplayLog;
  after: string;
}

/** Reads on where it stopped when `turn` is raised, and once the job is `over`: then nothing that is held back will still be filled. */
export function useReplay(job: string, node: string, wanted: boolean, over: boolean, turn: number): Reading {
  const kept = useRef<Kept | null>(null);
  const [reading, setReading] = useState<Reading>({ log: EMPTY, state: "reading", version: 0 });
  useEffect(() => {
    if (!wanted) return;
    const key = `${job} ${node}`;
    if (kept.current?.key !== key) kept.current = { key, log: new ReplayLog(), after: "" };
    const mine = kept.current;
    const { log } = mine;
    const tell = (state: Reading["state"]) => setReading((before) => ({ log, state, version: before.version + 1 }));
    tell("reading");
    let told = performance.now();
    const stop = listen(`/jobs/${encodeURIComponent(job)}/output${query({ node, after: mine.after })}`, {
      endsWith: ["end"],
      onState: (line) => line === "refused" && tell("refused"),
      onEvent: ({ event, id, data }) => {
        if (event === "output") {
          mine.after = id || mine.after;
          log.feed(JSON.parse(data) as Chunk);
          if (log.full) {
            stop();
            tell("read");
          } else if (performance.now() - told > TOLD_MILLISECONDS) {
            told = performance.now();
            tell("reading");
          }
        } else if (event === "end") {
          if (over) log.finish();
          tell("read");
        }
      },
    });
    return stop;
  }, [job, node, wanted, turn, over]);
  return reading;
}

const EMPTY = new ReplayLog();
