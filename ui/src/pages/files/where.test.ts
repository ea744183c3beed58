import { describe, expect, it } from "vitest";
import { placesOf, targetOf, together } from "./where";

const at = (node: string, revision: number, dest: string, second: number) => ({
  node,
  revision,
  dest,
  source_path: "app.conf",
  digest: "",
  job: "",
  at: `2026-11-21T12:00:0${second}.000Z`,
});

describe("where revisions are", () => {
  it("puts nodes with the same revision at the same path together, the newest revision first", () => {
    const found = together([at("n1", 2, "/a", 1), at("n1", 2, "/b", 1), at("n2", 3, "/a", 5), at("n3", 2, "/a", 4)]);
    expect(found.map(({ revision, dest, nodes }) => [revision, dest, nodes])).toEqual([
      [3, "/a", ["n2"]],
      [2, "/a", ["n1", "n3"]],
      [2, "/b", ["n1"]],
    ]);
    expect(found[1]?.newest).toBe("2026-11-21T12:00:04.000Z");
  });
  it("is empty when it is nowhere", () => expect(together([])).toEqual([]));
});

describe("where a revision would go", () => {
  it("is where any revision is now, the path with the most nodes first", () => {
    expect(placesOf([at("n1", 2, "/a", 1), at("n1", 2, "/b", 1), at("n2", 3, "/b", 5)])).toEqual([
      { dest: "/b", nodes: ["n1", "n2"] },
      { dest: "/a", nodes: ["n1"] },
    ]);
  });
  it("names the nodes, as long as a selector can", () => {
    expect(targetOf(["n2", "n1"])).toBe("n1,n2");
    expect(targetOf(Array.from({ length: 1000 }, (_, at) => `node-${at}`))).toBe("");
  });
});
