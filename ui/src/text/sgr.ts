// Output of a task as pieces for React text nodes. It is hostile until shown: of all escape sequences only colours and weight are
// obeyed, from a fixed palette; everything else is taken out, and what would move, hide or reorder text is made visible instead.

export interface Style {
  fg: number; // -1 = the page's own, 0..15 = the palette
  bg: number;
  bold: boolean;
  dim: boolean;
  italic: boolean;
  underline: boolean;
}

export interface Piece {
  text: string;
  style: Style;
}

export const PLAIN: Style = { fg: -1, bg: -1, bold: false, dim: false, italic: false, underline: false };

/* CSI, OSC/DCS/APC/PM/SOS up to their end (or the end of the text), two-character escapes, lone ESC. */

const ESCAPE = /\x1b\[([0-9;:?<=>]*)[ -/]*([@-~])|\x1b[\]P_^X][^\x07\x1b]*(?:\x07|\x1b\\|$)|\x1b[ -/]*[0-~]|\x1b|\x9b/g;
// C0 and C1 without \t and \n, zero-width and bidirectional controls, line separators, byte order mark.

const HIDDEN = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]/g;

/** One line → pieces, and the style the next line begins with. */
export function parseLine(line: string, before: Style = PLAIN): { pieces: Piece[]; after: Style } {
  const pieces: Piece[] = [];
  let style = before;
  let from = 0;
  const put = (text: string) => {
    if (text) pieces.push({ text: visible(text), style });
  };
  for (const found of line.matchAll(ESCAPE)) {
    put(line.slice(from, found.index));
    from = found.index + found[0].length;
    if (found[2] === "m") style = apply(style, found[1] ?? "");
  }
  put(line.slice(from));
  return { pieces, after: style };
}

/** The text alone: what is searched, and what two nodes' outputs are compared by eye as. */
export function plain(line: string): string {
  return visible(line.replace(ESCAPE, ""));
}

/** Control characters as their pictures, invisible ones as their code points. */
export function visible(text: string): string {
  return text.replace(HIDDEN, (character) => {
    const code = character.charCodeAt(0);
    if (code < 0x20) return String.fromCharCode(0x2400 + code);
    if (code === 0x7f) return "\u2421";
    return `<U+${code.toString(16).toUpperCase().padStart(4, "0")}>`;
  });
}

function apply(style: Style, codes: string): Style {
  const numbers = codes === "" ? [0] : codes.split(/[;:]/).map((code) => (code === "" ? 0 : Number(code)));
  let next = { ...style };
  for (let at = 0; at < numbers.length; at += 1) {
    const code = numbers[at] ?? 0;
    if (code === 0) next = { ...PLAIN };
    else if (code === 1) next.bold = true;
    else if (code === 2) next.dim = true;
    else if (code === 3) next.italic = true;
    else if (code === 4) next.underline = true;
    else if (code === 22) next.bold = next.dim = false;
    else if (code === 23) next.italic = false;
    else if (code === 24) next.underline = false;
    else if (code >= 30 && code <= 37) next.fg = code - 30;
    else if (code === 39) next.fg = -1;
    else if (code >= 40 && code <= 47) next.bg = code - 40;
    else if (code === 49) next.bg = -1;
    else if (code >= 90 && code <= 97) next.fg = code - 90 + 8;
    else if (code >= 100 && code <= 107) next.bg = code - 100 + 8;
    else if (code === 38 || code === 48) {
      const [colour, used] = extended(numbers.slice(at + 1));
      if (code === 38) next.fg = colour;
      else next.bg = colour;
      at += used;
    }
  }
  return next;
}

/** 5;n and 2;r;g;b as the nearest of our sixteen, which are readable on both grounds. */
function extended(rest: number[]): [number, number] {
  if (rest[0] === 5) return [of256(rest[1] ?? 0), 2];
  if (rest[0] === 2) return [nearest(rest[1] ?? 0, rest[2] ?? 0, rest[3] ?? 0), 4];
  return [-1, 0];
}

function of256(index: number): number {
  if (index < 16) return Math.max(0, index);
  if (index >= 232) return index < 238 ? 8 : index < 248 ? 7 : 15;
  const cube = index - 16;
  const level = (step: number) => step * 51;
  return nearest(level(Math.floor(cube / 36)), level(Math.floor(cube / 6) % 6), level(cube % 6));
}

function nearest(red: number, green: number, blue: number): number {
  const top = Math.max(red, green, blue);
  if (top < 64) return 0;
  const bright = top > 191 ? 8 : 0;
  return bright + (red * 2 > top ? 1 : 0) + (green * 2 > top ? 2 : 0) + (blue * 2 > top ? 4 : 0);
}

/** CSS classes of a style; foreground equal to background is not obeyed, so nothing can be written invisibly. */
export function classes(style: Style): string {
  const names: string[] = [];
  if (style.fg >= 0 && style.fg !== style.bg) names.push(`f${style.fg}`);
  if (style.bg >= 0) names.push(`b${style.bg}`);
  if (style.bold) names.push("bold");
  if (style.dim) names.push("dim");
  if (style.italic) names.push("italic");
  if (style.underline) names.push("under");
  return names.join(" ");
}

/** The style each row begins with: colours go on over line ends. */
export function startStyles(texts: readonly { text: string }[]): Style[] {
  const found: Style[] = [];
  let style = PLAIN;
  for (const { text } of texts) {
    found.push(style);
    if (text.includes("\x1b")) style = parseLine(text, style).after;
  }
  return found;
}
