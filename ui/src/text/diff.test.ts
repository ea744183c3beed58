import { expect, it } from "vitest";
import { linesOf, sidesOf } from "./diff";

const UNIFIED = "--- a r1\n+++ a r2\n@@ -1,4 +1,5 @@\n one\n--- dashes\n-two\n+TWO\n+++ pluses\n+more\n three\n@@ -10 +11 @@\n-x\n+y\n";

it("tells what a line is by its place", () => {
  expect(linesOf(UNIFIED).map((line) => [line.kind, line.old, line.new])).toEqual([
    ["about", 0, 0],
    ["about", 0, 0],
    ["about", 0, 0],
    ["same", 1, 1],
    ["gone", 2, 0],
    ["gone", 3, 0],
    ["added", 0, 2],
    ["added", 0, 3],
    ["added", 0, 4],
    ["same", 4, 5],
    ["about", 0, 0],
    ["gone", 10, 0],
    ["added", 0, 11],
  ]);
});
it("puts what was removed beside what was added", () => {
  const shown = sidesOf(linesOf(UNIFIED)).map(([left, right]) => [left?.text ?? null, right?.text ?? null]);
  expect(shown.slice(3)).toEqual([
    [" one", " one"],
    ["--- dashes", "+TWO"],
    ["-two", "+++ pluses"],
    [null, "+more"],
    [" three", " three"],
    ["@@ -10 +11 @@", "@@ -10 +11 @@"],
    ["-x", "+y"],
  ]);
});
it("takes a diff that only adds", () => {
  expect(sidesOf(linesOf("--- a\n+++ a\n@@ -0,0 +1,2 @@\n+one\n+two\n")).slice(3)).toMatchObject([
    [null, { new: 1 }],
    [null, { new: 2 }],
  ]);
});
