// Where the cells of a picture stand. Pure: the canvas only draws what this says.

export interface Cell {
  id: string;
  x: number;
  y: number;
}

export interface Block {
  name: string;
  count: number;
  x: number;
  y: number;
  width: number;
}

export interface Layout {
  cells: Cell[];
  blocks: Block[];
  size: number;
  height: number;
}

const GAP = 2;
const TITLE = 20;
const BETWEEN = 14;

/** Groups one after another as blocks of square cells, as large as the count allows. */
export function layout(groups: readonly (readonly [string, readonly string[]])[], width: number): Layout {
  const total = groups.reduce((sum, [, ids]) => sum + ids.length, 0);
  const size = total <= 60 ? 30 : total <= 300 ? 22 : total <= 1200 ? 15 : total <= 3000 ? 11 : 8;
  const step = size + GAP;
  const most = Math.max(1, Math.floor((width + GAP) / step));
  const titled = groups.length > 1 || (groups[0]?.[0] ?? "") !== "";
  const cells: Cell[] = [];
  const blocks: Block[] = [];
  let left = 0;
  let top = 0;
  let tallest = 0;
  for (const [name, ids] of groups) {
    const square = Math.max(Math.ceil(Math.sqrt(ids.length * 2.4)), Math.ceil((7 * name.length + 44) / step));
    const columns = titled ? Math.min(most, square) : most;
    const wide = columns * step - GAP;
    if (left > 0 && left + wide > width) {
      left = 0;
      top += tallest + BETWEEN;
      tallest = 0;
    }
    const under = titled ? TITLE : 0;
    blocks.push({ name, count: ids.length, x: left, y: top, width: wide });
    ids.forEach((id, index) => {
      cells.push({ id, x: left + (index % columns) * step, y: top + under + Math.floor(index / columns) * step });
    });
    tallest = Math.max(tallest, under + Math.ceil(ids.length / columns) * step - GAP);
    left += wide + BETWEEN;
  }
  return { cells, blocks, size, height: top + tallest };
}

/** The cell under a point; a few thousand cells are looked through in well under a millisecond. */
export function cellAt(found: Layout, x: number, y: number): Cell | undefined {
  return found.cells.find((cell) => x >= cell.x && x < cell.x + found.size + GAP && y >= cell.y && y < cell.y + found.size + GAP);
}

export interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

/** The box between two corners, whichever way it was drawn. */
export function boxOf(from: { x: number; y: number }, to: { x: number; y: number }): Box {
  return { x: Math.min(from.x, to.x), y: Math.min(from.y, to.y), width: Math.abs(from.x - to.x), height: Math.abs(from.y - to.y) };
}

/** The cells a box touches, in their order. */
export function cellsIn(found: Layout, box: Box): Cell[] {
  return found.cells.filter((cell) => cell.x < box.x + box.width && cell.x + found.size > box.x && cell.y < box.y + box.height && cell.y + found.size > box.y);
}

/** Where an arrow key leads: along the row, or to the nearest cell of the next row up or down. */
export function step(found: Layout, from: string | undefined, key: string): Cell | undefined {
  const { cells } = found;
  const at = cells.findIndex((cell) => cell.id === from);
  if (key === "Home" || (at < 0 && key.startsWith("Arrow"))) return cells[0];
  if (key === "End") return cells[cells.length - 1];
  const here = cells[at];
  if (here === undefined) return undefined;
  if (key === "ArrowRight") return cells[Math.min(at + 1, cells.length - 1)];
  if (key === "ArrowLeft") return cells[Math.max(at - 1, 0)];
  if (key !== "ArrowDown" && key !== "ArrowUp") return undefined;
  const way = key === "ArrowDown" ? 1 : -1;
  const far = (cell: Cell) => Math.abs(cell.y - here.y) * 1000 + Math.abs(cell.x - here.x);
  return cells.filter((cell) => (cell.y - here.y) * way > 0).reduce<Cell | undefined>((best, cell) => (best === undefined || far(cell) < far(best) ? cell : best), undefined) ?? here;
}
