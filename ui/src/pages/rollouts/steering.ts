// Which verbs a rollout takes in its state, and which of them one most likely wants. Pure; the server decides again (domain/rollout_control.py).
import type { RolloutJson, StageJson } from "../../api/types";
import type { Verb } from "../../data/rollouts";

export const VERBS: readonly Verb[] = ["advance", "pause", "resume", "abort", "rollback"];

const STATES: Record<Verb, readonly string[]> = {
  advance: ["running", "paused"],
  pause: ["created", "running"],
  resume: ["paused"],
  abort: ["created", "running", "paused"],
  rollback: ["running", "paused", "failed", "succeeded"],
};

export type Refusal = "not_now" | "no_way_back" | "gate_failed" | "waits_for_advance" | "stage_open";

export interface Steering {
  /** Nothing after a failed stage: mending it, going back and giving up are for somebody to weigh. */
  primary: Verb | null;
  refused: Partial<Record<Verb, Refusal>>;
  /** The stage whose gate failed and that stops the rollout. */
  failed: StageJson | null;
}

export function steering(rollout: RolloutJson): Steering {
  const { state, hold } = rollout;
  const current = rollout.stages.find((stage) => stage.gate !== "passed");
  const failed = current?.gate === "failed" && state !== "succeeded" ? current : null;
  const refused: Partial<Record<Verb, Refusal>> = {};
  for (const verb of VERBS) if (!STATES[verb].includes(state)) refused[verb] = "not_now";
  if (rollout.rollback.length > 0) refused.rollback ??= "not_now";
  if (!rollout.can_roll_back) refused.rollback ??= "no_way_back";
  if (failed) refused.advance ??= "gate_failed";
  else if (current?.job) refused.advance ??= "stage_open";
  if (hold === "advance") refused.resume ??= "waits_for_advance";
  const wanted: Verb | null = state !== "paused" || failed ? null : hold === "advance" ? "advance" : "resume";
  return { primary: wanted !== null && refused[wanted] === undefined ? wanted : null, refused, failed };
}
