import { expect, it } from "vitest";
import type { RolloutJson } from "../../api/types";
import { steering } from "./steering";

function rollout(state: string, hold: string, gates: string[], more: Partial<RolloutJson> = {}): RolloutJson {
  const stages = gates.map((gate, index) => ({ index: index + 1, name: `s${index + 1}`, gate, why: gate === "failed" ? "1 of 4 nodes failed" : "", job: gate === "pending" ? null : "J1" }));
  return { state, hold, stages, rollback: [], can_roll_back: true, ...more } as unknown as RolloutJson;
}

it("wants to be advanced when a stage passed and the next one waits", () => {
  const found = steering(rollout("paused", "advance", ["passed", "pending"]));
  expect(found.primary).toBe("advance");
  expect(found.refused).toEqual({ pause: "not_now", resume: "waits_for_advance" });
});

it("wants to be resumed when somebody paused it", () => {
  expect(steering(rollout("paused", "asked", ["passed", "pending"])).primary).toBe("resume");
  expect(steering(rollout("paused", "asked", ["checking", "pending"])).refused.advance).toBe("stage_open");
});

it("offers nothing first after a failed gate, and no way around it", () => {
  const found = steering(rollout("paused", "failed", ["passed", "failed", "pending"]));
  expect(found.primary).toBeNull();
  expect(found.failed?.name).toBe("s2");
  expect(found.refused).toEqual({ pause: "not_now", advance: "gate_failed" });
});

it("offers nothing first while it runs or when it is over", () => {
  for (const state of ["created", "running", "rolling_back", "rolled_back", "failed", "succeeded"]) {
    expect(steering(rollout(state, "", ["passed", "pending"])).primary).toBeNull();
  }
  expect(steering(rollout("failed", "", ["failed", "pending"])).refused.rollback).toBeUndefined();
  expect(steering(rollout("running", "", ["pending"])).refused.advance).toBeUndefined();
  expect(steering(rollout("failed", "", ["failed"], { can_roll_back: false })).refused.rollback).toBe("no_way_back");
});
