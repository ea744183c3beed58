// The stretches of a node's presence as parts of the last day.
import type { StretchView } from "../../api/types";
import { type Tone, look } from "../../kit/states";

const DAY = 86_400_000;

export interface Part {
  state: string;
  tone: Tone;
  since: number;
  /** Of the day, 0 to 1. */
  share: number;
}

export function stateOf(stretch: StretchView): string {
  return stretch.worker === "down" ? "worker_down" : stretch.presence;
}

/** How much of what was recorded it was online and able to work, 0 to 1. */
export function there(parts: readonly Part[]): number {
  const total = (picked: (state: string) => boolean) => parts.reduce((sum, { state, share }) => sum + (picked(state) ? share : 0), 0);
  return total((state) => state === "online") / (total((state) => state !== "unknown") || 1);
}

/** In seconds; what goes on still has lasted until now. */
export function lasted({ since, until }: StretchView, now: number): number {
  return Math.max(0, ((until ? Date.parse(until) : now) - Date.parse(since ?? "")) / 1000);
}

/** Oldest first and without gaps; what nobody recorded is unknown. */
export function lastDay(stretches: readonly StretchView[], now: number): Part[] {
  const parts: Part[] = [];
  const add = (state: string, from: number, to: number) => {
    if (to > from) parts.push({ state, tone: look(state).tone, since: from, share: (to - from) / DAY });
  };
  let from = now - DAY;
  for (const stretch of [...stretches].reverse()) {
    const since = Math.max(from, Date.parse(stretch.since ?? ""));
    const until = Math.min(now, stretch.until ? Date.parse(stretch.until) : now);
    if (until <= from) continue;
    add("unknown", from, since);
    add(stateOf(stretch), since, until);
    from = until;
  }
  add("unknown", from, now);
  return parts;
}
