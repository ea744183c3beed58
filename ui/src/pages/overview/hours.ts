// Jobs by the hour in which they were submitted, the newest hour last. Pure.
import type { JobView } from "../../api/types";

export const HOURS = 24;
const HOUR_MS = 3_600_000;

export interface Hour {
  from: number;
  succeeded: number;
  failed: number;
  /** Still running, waiting, or called off. */
  other: number;
  /** Whether every job of this hour is among those counted. */
  whole: boolean;
}

/** `more`: there are older jobs that were not read, so what lies before the oldest of these is not known. */
export function hours(jobs: readonly JobView[], more: boolean, now: number): Hour[] {
  const made = Array.from({ length: HOURS }, (_, index) => ({ from: now - (HOURS - index) * HOUR_MS, succeeded: 0, failed: 0, other: 0, whole: true }));
  let oldest = now;
  for (const job of jobs) {
    const at = Date.parse(job.created_at ?? "");
    if (Number.isNaN(at)) continue;
    oldest = Math.min(oldest, at);
    // A clock of the server that is a little ahead of ours: what is just submitted is of this hour.
    const hour = made[Math.min(HOURS - 1, HOURS - 1 - Math.floor((now - at) / HOUR_MS))];
    if (hour === undefined) continue;
    if (job.state === "succeeded") hour.succeeded += 1;
    else if (job.state === "failed") hour.failed += 1;
    else hour.other += 1;
  }
  if (more) for (const hour of made) hour.whole = hour.from >= oldest;
  return made;
}
