import { describe, expect, it } from "vitest";
import type { StretchView } from "../../api/types";
import { lastDay, lasted, there } from "./presence";

const NOW = Date.parse("2026-11-21T12:00:00Z");
const at = (hours: number) => new Date(NOW - hours * 3_600_000).toISOString();
const stretch = (presence: string, since: number, until: number | null, worker = "up"): StretchView => ({
  presence,
  worker: presence === "online" ? worker : "unknown",
  since: at(since),
  until: until === null ? null : at(until),
  reason: "",
});
const shown = (stretches: StretchView[]) => lastDay(stretches, NOW).map(({ state, share }) => [state, Math.round(share * 24)]);

describe("the last day of a node", () => {
  it("is cut at its beginning and goes on to now", () => {
    expect(shown([stretch("online", 2, null), stretch("offline", 6, 2), stretch("online", 90, 6)])).toEqual([
      ["online", 18],
      ["offline", 4],
      ["online", 2],
    ]);
  });
  it("says where nothing was recorded", () => {
    expect(shown([])).toEqual([["unknown", 24]]);
    expect(shown([stretch("online", 3, null)])).toEqual([
      ["unknown", 21],
      ["online", 3],
    ]);
    expect(shown([stretch("online", 1, null), stretch("offline", 30, 25)])).toEqual([
      ["unknown", 23],
      ["online", 1],
    ]);
  });
  it("tells a missing worker from a node that is well", () => {
    expect(shown([stretch("online", 12, null, "down"), stretch("online", 24, 12)])).toEqual([
      ["online", 12],
      ["worker_down", 12],
    ]);
  });
  it("counts only what was recorded", () => {
    expect(there(lastDay([stretch("online", 3, null), stretch("offline", 4, 3)], NOW))).toBeCloseTo(0.75);
    expect(there(lastDay([], NOW))).toBe(0);
  });
  it("never shows more than a day, whatever the clocks say", () => {
    const parts = lastDay([stretch("online", -3, null), stretch("offline", 5, -3)], NOW);
    expect(parts.reduce((sum, part) => sum + part.share, 0)).toBeCloseTo(1);
    expect(lasted(stretch("online", -3, null), NOW)).toBe(0);
    expect(lasted(stretch("online", 2, 1), NOW)).toBe(3600);
  });
});
