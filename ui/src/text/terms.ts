// What a selector's field offers: terms that pick something among the nodes at hand, put behind what is written already. Pure.
import type { NodeView } from "../api/types";

const NODES_LOOKED_AT = 500;
/** Of a label or fact with more values (an address, a serial number) none is offered. */
const VALUES_MOST = 12;
const TERMS_MOST = 150;

export function termsOf(nodes: readonly NodeView[]): string[] {
  const looked = nodes.slice(0, NODES_LOOKED_AT);
  const groups = new Set(looked.flatMap((node) => node.groups));
  const terms = [
    "all",
    "online",
    ...equals("labels", looked.map((node) => node.labels)),
    ...[...groups].sort().map((group) => `${JSON.stringify(group)} in groups`),
    ...equals("facts", looked.map((node) => node.facts)),
    ...looked.map((node) => node.id),
  ];
  return terms.slice(0, TERMS_MOST);
}

function equals(where: string, rows: readonly Readonly<Record<string, unknown>>[]): string[] {
  const values = new Map<string, Set<string>>();
  for (const row of rows) {
    for (const [name, value] of Object.entries(row)) {
      if (typeof value !== "string" && typeof value !== "number" && typeof value !== "boolean") continue;
      const known = values.get(name) ?? new Set();
      known.add(JSON.stringify(value));
      values.set(name, known);
    }
  }
  return [...values]
    .filter(([, known]) => known.size <= VALUES_MOST)
    .sort(([one], [other]) => one.localeCompare(other))
    .flatMap(([name, known]) => [...known].sort().map((value) => `${where}[${JSON.stringify(name)}] == ${value}`));
}

/** The terms as they would stand in the whole text: behind its last `and`, `or`, `not` or bracket. */
export function continued(text: string, terms: readonly string[]): string[] {
  const head = /^(?:[^"]|"[^"]*")*(?:\b(?:and|or|not)\s+|\()/.exec(text)?.[0] ?? "";
  return terms.map((term) => head + term);
}
