// Which rows of a list are selected. Pure, and always read against what is shown: nothing out of sight is ever acted on.

export interface Selection {
  /** The filter under which everything was selected; under another one it is worth nothing. */
  all: string | null;
  picked: ReadonlySet<string>;
  /** Where a range begins. */
  last: string | null;
}

export const NOTHING: Selection = { all: null, picked: new Set(), last: null };

export function chosen(held: Selection, shown: readonly string[], filter: string): ReadonlySet<string> {
  if (held.all === filter) return new Set(shown);
  return held.picked.size === 0 ? held.picked : new Set(shown.filter((id) => held.picked.has(id)));
}

/** One row turned over, or with `range` all rows from the last one turned over to this one, to what this one becomes. */
export function toggled(held: Selection, shown: readonly string[], filter: string, id: string, range: boolean): Selection {
  const before = chosen(held, shown, filter);
  const [from, to] = [held.last === null ? -1 : shown.indexOf(held.last), shown.indexOf(id)];
  const ids = range && from >= 0 && to >= 0 ? shown.slice(Math.min(from, to), Math.max(from, to) + 1) : [id];
  return { ...turned(held, before, ids, !before.has(id)), last: id };
}

/** A box drawn over cells: selected, or taken out when all of them were. */
export function brushed(held: Selection, shown: readonly string[], filter: string, ids: readonly string[]): Selection {
  const before = chosen(held, shown, filter);
  return { ...turned(held, before, ids, !ids.every((id) => before.has(id))), last: ids.at(-1) ?? held.last };
}

function turned(held: Selection, before: ReadonlySet<string>, ids: readonly string[], on: boolean): Selection {
  // What another filter hides stays selected for when it is shown again; "all" is taken apart into what it is now.
  const picked = new Set(held.all === null ? held.picked : before);
  for (const id of ids) {
    if (on) picked.add(id);
    else picked.delete(id);
  }
  return { all: null, picked, last: held.last };
}
