// What was submitted from this page, as it was: a job's own line is one line, cut and without line ends, and must not be run again.
import type { SubmitBody } from "../api/types";

const KEPT = 50;
const bodies = new Map<string, SubmitBody>();

/** In memory only: a body may hold what nobody wants in a browser's storage. */
export function remember(job: string, body: SubmitBody): void {
  bodies.set(job, body);
  const oldest = bodies.keys().next();
  if (bodies.size > KEPT && !oldest.done) bodies.delete(oldest.value);
}

export function submittedAs(job: string): SubmitBody | undefined {
  return bodies.get(job);
}
