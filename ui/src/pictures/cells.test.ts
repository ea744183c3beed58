import { expect, it } from "vitest";
import { boxOf, cellAt, cellsIn, layout, step } from "./cells";

const ids = (count: number) => Array.from({ length: count }, (_, number) => `n${number}`);

it("has a cell for every node, none over another", () => {
  const found = layout([["a", ids(500)], ["b", ids(30).map((id) => `b${id}`)]], 600);
  expect(found.cells).toHaveLength(530);
  expect(new Set(found.cells.map((cell) => `${cell.x},${cell.y}`)).size).toBe(530);
  expect(found.cells.every((cell) => cell.x + found.size <= 600 && cell.y + found.size <= found.height)).toBe(true);
});

it("finds the cell under a point", () => {
  const found = layout([["", ids(100)]], 400);
  for (const cell of found.cells) expect(cellAt(found, cell.x + 1, cell.y + 1)?.id).toBe(cell.id);
});

it("is walked by the arrow keys", () => {
  const found = layout([["", ids(100)]], 400);
  const second = found.cells.find((cell) => cell.y > 0);
  expect(step(found, undefined, "ArrowRight")?.id).toBe("n0");
  expect(step(found, "n0", "ArrowRight")?.id).toBe("n1");
  expect(step(found, "n0", "ArrowDown")?.id).toBe(second?.id);
  expect(step(found, second?.id, "ArrowUp")?.id).toBe("n0");
  expect(step(found, "n0", "x")).toBeUndefined();
  expect(step(found, "n0", "End")?.id).toBe("n99");
});

it("gives the cells under a box, whichever way it is drawn", () => {
  const found = layout([["", ids(100)]], 400);
  const [first, second] = [found.cells[0], found.cells[2]];
  if (!first || !second) throw new Error("no cells");
  const corner = { x: second.x + 1, y: second.y + found.size - 1 };
  expect(cellsIn(found, boxOf({ x: 1, y: 1 }, corner)).map((cell) => cell.id)).toEqual(["n0", "n1", "n2"]);
  expect(cellsIn(found, boxOf(corner, { x: 1, y: 1 }))).toHaveLength(3);
  expect(cellsIn(found, boxOf({ x: -5, y: -5 }, { x: 1000, y: 1000 }))).toHaveLength(100);
  expect(cellsIn(found, boxOf({ x: 900, y: 900 }, { x: 1000, y: 1000 }))).toEqual([]);
});
