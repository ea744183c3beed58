// Rows of a form (a key and a text) as the objects the API takes, and back. Pure.
import { split } from "./words";

export interface Row {
  key: string;
  text: string;
}

/** What is wrong with a row, as a word the page has a sentence for. */
export type RowTrouble = "" | "open_quote" | "empty" | "no_key" | "twice";

/** What a policy rule may match, in the order of docs/policy.md; a test holds it to the server's. */
export const MATCH_KEYS = ["program", "args", "argv", "removes", "changes", "writes", "fed_by", "text"] as const;

type Match = Readonly<Record<string, readonly string[]>>;

export function rowsOfMatch(match: Match): Row[] {
  const known = MATCH_KEYS.filter((key) => match[key] !== undefined).map((key) => ({ key, text: wordsAsText(match[key] ?? []) }));
  return known.length > 0 ? known : [{ key: MATCH_KEYS[0], text: "" }];
}

/** Patterns are words as a shell splits them, so that one may hold blanks; a line break parts them too. `wrong` has a word for each row. */
export function matchOf(rows: readonly Row[]): { match: Record<string, string[]>; wrong: RowTrouble[] } {
  const match: Record<string, string[]> = {};
  const wrong = rows.map(({ key, text }): RowTrouble => {
    const words = split(text);
    if (words === null) return "open_quote";
    if (words.length === 0) return "empty";
    if (Object.hasOwn(match, key)) return "twice";
    match[key] = words;
    return "";
  });
  return { match, wrong };
}

/** Quoted only where it has to be: a `*` means here what it means in a rule. */
export function wordsAsText(words: readonly string[]): string {
  return words.map((word) => (word === "" || /[\s'"\\]/.test(word) ? `'${word.replaceAll("'", "'\\''")}'` : word)).join(" ");
}

export function rowsOfPairs(pairs: Readonly<Record<string, string>>): Row[] {
  return Object.entries(pairs).map(([key, text]) => ({ key, text }));
}

/** A row of which nothing was filled in is none. */
export function pairsOf(rows: readonly Row[]): { pairs: Record<string, string>; wrong: RowTrouble[] } {
  const pairs: Record<string, string> = {};
  const wrong = rows.map(({ key, text }): RowTrouble => {
    const name = key.trim();
    if (name === "") return text === "" ? "" : "no_key";
    if (Object.hasOwn(pairs, name)) return "twice";
    if (text === "") return "empty";
    pairs[name] = text;
    return "";
  });
  return { pairs, wrong };
}

/** A JSON object as it was typed; nothing typed is an empty one, anything else but an object is null. */
export function objectOf(text: string): Record<string, unknown> | null {
  if (text.trim() === "") return {};
  try {
    const found: unknown = JSON.parse(text);
    return typeof found === "object" && found !== null && !Array.isArray(found) ? (found as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}
