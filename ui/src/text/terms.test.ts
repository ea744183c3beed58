import { expect, it } from "vitest";
import type { NodeView } from "../api/types";
import { continued, termsOf } from "./terms";

const node = (id: string, labels: Record<string, string>, facts: Record<string, unknown> = {}) => ({ id, labels, groups: ["canary"], facts }) as unknown as NodeView;

it("offers labels, groups and facts that tell nodes apart, then the nodes themselves", () => {
  const nodes = Array.from({ length: 20 }, (_, at) => node(`web-${at}`, { role: at % 2 ? "web" : "db" }, { arch: "x86_64", serial: `s${at}`, cpus: 4, ips: ["::1"] }));
  expect(termsOf(nodes)).toEqual([
    "all", "online", 'labels["role"] == "db"', 'labels["role"] == "web"', '"canary" in groups', 'facts["arch"] == "x86_64"', 'facts["cpus"] == 4',
    ...nodes.map(({ id }) => id),
  ]);
});

it("goes on behind what is written", () => {
  expect(continued("", ["all"])).toEqual(["all"]);
  expect(continued('labels["a"] == "b" and lab', ["all"])).toEqual(['labels["a"] == "b" and all']);
  expect(continued("not (on", ["online"])).toEqual(["not (online"]);
  expect(continued('labels["x and y"] == "1', ["all"])).toEqual(["all"]);
});
