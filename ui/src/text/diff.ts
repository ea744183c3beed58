// A unified diff as lines with numbers, and as two sides. What a line is follows from its place, not from its first characters alone:
// the removed line "-- x" reads "--- x". Pure.

export interface Line {
  kind: "same" | "added" | "gone" | "about";
  text: string;
  /** Its number on the left and on the right; 0 where it is not. */
  old: number;
  new: number;
}

/** A line on each side; null where the other side has more of them. */
export type Pair = [Line | null, Line | null];

const HUNK = /^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@/;

export function linesOf(unified: string): Line[] {
  const found: Line[] = [];
  let [old, fresh, oldLeft, newLeft] = [0, 0, 0, 0];
  for (const text of unified.replace(/\n$/, "").split("\n")) {
    const hunk = oldLeft > 0 || newLeft > 0 ? null : HUNK.exec(text);
    if (hunk !== null) {
      [old, fresh] = [Number(hunk[1]), Number(hunk[3])];
      [oldLeft, newLeft] = [Number(hunk[2] ?? 1), Number(hunk[4] ?? 1)];
      found.push({ kind: "about", text, old: 0, new: 0 });
    } else if (oldLeft <= 0 && newLeft <= 0) {
      found.push({ kind: "about", text, old: 0, new: 0 });
    } else if (text.startsWith("+")) {
      found.push({ kind: "added", text, old: 0, new: fresh++ });
      newLeft -= 1;
    } else if (text.startsWith("-")) {
      found.push({ kind: "gone", text, old: old++, new: 0 });
      oldLeft -= 1;
    } else {
      found.push({ kind: "same", text, old: old++, new: fresh++ });
      oldLeft -= 1;
      newLeft -= 1;
    }
  }
  return found;
}

/** Removed and added lines that follow each other stand beside each other. */
export function sidesOf(lines: readonly Line[]): Pair[] {
  const pairs: Pair[] = [];
  for (let at = 0; at < lines.length; ) {
    const line = lines[at] as Line;
    if (line.kind === "same" || line.kind === "about") {
      pairs.push([line, line]);
      at += 1;
      continue;
    }
    const gone: Line[] = [];
    const added: Line[] = [];
    for (; lines[at]?.kind === "gone"; at += 1) gone.push(lines[at] as Line);
    for (; lines[at]?.kind === "added"; at += 1) added.push(lines[at] as Line);
    for (let index = 0; index < Math.max(gone.length, added.length); index += 1) pairs.push([gone[index] ?? null, added[index] ?? null]);
  }
  return pairs;
}
