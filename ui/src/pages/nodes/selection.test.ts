import { expect, it } from "vitest";
import { brushed, chosen, NOTHING, type Selection, toggled } from "./selection";

const SHOWN = ["a", "b", "c", "d", "e"];
const of = (held: Selection, shown = SHOWN, filter = "") => [...chosen(held, shown, filter)].sort().join("");

it("turns over a row, and a range from the one before", () => {
  let held = toggled(NOTHING, SHOWN, "", "b", false);
  held = toggled(held, SHOWN, "", "d", true);
  expect(of(held)).toBe("bcd");
  held = toggled(held, SHOWN, "", "c", true);
  expect(of(held)).toBe("b");
  held = toggled(held, SHOWN, "", "a", true);
  expect(of(held)).toBe("abc");
});

it("turns over one row when the beginning of the range is not shown", () => {
  const held = toggled(NOTHING, SHOWN, "", "a", false);
  expect(of(toggled(held, ["c", "d"], "x", "d", true), SHOWN)).toBe("ad");
});

it("selects everything of one filter only, those that come too", () => {
  const held = { ...NOTHING, all: "web-*" };
  expect(of(held, SHOWN, "web-*")).toBe("abcde");
  expect(of(held, [...SHOWN, "f"], "web-*")).toBe("abcdef");
  expect(of(held, SHOWN, "db-*")).toBe("");
  expect(of(toggled(held, SHOWN, "web-*", "b", false), [...SHOWN, "f"], "web-*")).toBe("acde");
});

it("never holds what is not shown", () => {
  const held = brushed(NOTHING, SHOWN, "", ["a", "b"]);
  expect(of(held, ["b", "c"], "x")).toBe("b");
  expect(of(held)).toBe("ab");
});

it("takes a box out again when all of it was selected", () => {
  const held = brushed(NOTHING, SHOWN, "", ["a", "b", "c"]);
  expect(of(brushed(held, SHOWN, "", ["c", "d"]))).toBe("abcd");
  expect(of(brushed(held, SHOWN, "", ["a", "b"]))).toBe("c");
});
