import { expect, it } from "vitest";
import type { NodeView } from "../../api/types";
import { steps } from "./plan";

const node = (id: string, labels: Record<string, string>, groups: string[] = []) => ({ id, labels, groups }) as unknown as NodeView;
const NODES = [node("a", { role: "web" }, ["eu"]), node("b", {}, ["eu", "canary"]), node("c", { role: "db" }), node("d", { role: "web" })];

it("sets and removes a label where it is not so yet", () => {
  expect(steps(NODES, { what: "label", name: "role", value: "web" })).toEqual([{ ids: ["b", "c"], labels: { role: "web" } }]);
  expect(steps(NODES, { what: "label", name: "role", value: null })).toEqual([{ ids: ["a", "c", "d"], labels: { role: null } }]);
  expect(steps(NODES, { what: "label", name: "rack", value: null })).toEqual([]);
});

it("adds and removes one group where it is not so yet", () => {
  expect(steps(NODES, { what: "group", name: "canary", into: true })).toEqual([{ ids: ["a", "c", "d"], add_groups: ["canary"] }]);
  expect(steps(NODES, { what: "group", name: "eu", into: false })).toEqual([{ ids: ["a", "b"], remove_groups: ["eu"] }]);
});
