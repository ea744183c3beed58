import { expect, it } from "vitest";
import type { JobView } from "../../api/types";
import { HOURS, hours } from "./hours";

const NOW = Date.parse("2026-11-21T12:30:00Z");
const job = (minutes: number, state: string) => ({ state, created_at: new Date(NOW - minutes * 60_000).toISOString() }) as JobView;

it("counts each job in its hour, the newest last", () => {
  const found = hours([job(-1, "open"), job(0, "succeeded"), job(59, "failed"), job(61, "succeeded"), job(23 * 60 + 59, "cancelled")], false, NOW);
  expect(found).toHaveLength(HOURS);
  expect(found.at(-1)).toMatchObject({ succeeded: 1, failed: 1, other: 1, whole: true });
  expect(found.at(-2)).toMatchObject({ succeeded: 1, failed: 0, other: 0 });
  expect(found[0]).toMatchObject({ other: 1 });
});

it("leaves out what is older than a day, and what has no time", () => {
  const found = hours([job(24 * 60 + 1, "failed"), { state: "failed", created_at: null } as JobView], false, NOW);
  expect(found.every((hour) => hour.failed === 0 && hour.whole)).toBe(true);
});

it("says which hours it does not know", () => {
  const found = hours([job(10, "succeeded"), job(90, "succeeded")], true, NOW);
  expect(found.map((hour) => hour.whole)).toEqual([...Array<boolean>(HOURS - 1).fill(false), true]);
});
