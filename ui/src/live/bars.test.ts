import { expect, it } from "vitest";
import type { JobView, TaskView } from "../api/types";
import { bars } from "./bars";

const at = (second: number) => new Date(1_000_000_000_000 + second * 1000).toISOString();
const task = (node: string, started: number | null, finished: number | null) =>
  ({ node, state: "succeeded", queued_at: at(0), started_at: started === null ? null : at(started), finished_at: finished === null ? null : at(finished) }) as TaskView;

it("draws each node from its start to its end, the slowest first", () => {
  const job = { state: "succeeded", created_at: at(0), finished_at: at(10) } as JobView;
  const drawn = bars(job, [task("a", 1, 2), task("b", 5, 10)], Date.parse(at(99)));
  expect(drawn.total).toBe(10);
  expect(drawn.rows.map((row) => [row.task.node, row.begun, row.ended, row.seconds])).toEqual([["b", 50, 100, 5], ["a", 10, 20, 1]]);
});

it("lets bars of running nodes grow until now", () => {
  const job = { state: "open", created_at: at(0), finished_at: null } as JobView;
  expect(bars(job, [task("a", 0, null)], Date.parse(at(30))).rows[0]?.seconds).toBe(30);
});

it("marks where 95 % of all nodes were done, and counts those that took longer", () => {
  const job = { state: "succeeded", created_at: at(0), finished_at: at(100) } as JobView;
  const many = Array.from({ length: 40 }, (_, number) => task(`n${number}`, 0, number < 38 ? 10 : 100));
  const drawn = bars(job, many, Date.parse(at(100)));
  expect([drawn.p95, drawn.late]).toEqual([10, 2]);
});

it("says nothing of 95 % before so many have ended", () => {
  const job = { state: "open", created_at: at(0), finished_at: null } as JobView;
  const begun = Array.from({ length: 40 }, (_, number) => task(`n${number}`, 0, number < 6 ? 1 : null));
  expect(bars(job, begun, Date.parse(at(5))).p95).toBeNull();
});
