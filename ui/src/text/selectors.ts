// Selectors made by the page: nodes by name, and the list that stands under a filter. Pure.

/** What the server takes at most (domain/selector/lexer.py); ids are ASCII, so characters are bytes. */
export const SELECTOR_MAX = 4096;

/** Exactly these nodes, in as few selectors as hold them. */
export function parts(ids: readonly string[]): string[][] {
  const made: string[][] = [];
  let length = SELECTOR_MAX;
  for (const id of ids) {
    length += id.length + 1;
    if (length > SELECTOR_MAX) {
      made.push([]);
      length = id.length;
    }
    made.at(-1)?.push(id);
  }
  return made;
}

/** Exactly these nodes as one selector; null when it would be too long for one. */
export function naming(ids: readonly string[]): string | null {
  const text = ids.join(",");
  return text !== "" && text.length <= SELECTOR_MAX ? text : null;
}

/** What a list shows as a selector. Null where the language has no word for it: its `offline` means those never seen too. */
export function listed(selector: string, presence: string): string | null {
  const asked = selector.trim();
  const all = asked === "" || asked === "all";
  if (presence === "") return all ? "all" : asked;
  if (presence !== "online") return null;
  return all ? "online" : `(${asked}) and online`;
}
