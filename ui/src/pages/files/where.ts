// Placements put together: one group for each revision at each path, the newest revision first.
import type { PlacementView } from "../../api/types";

export interface Group {
  revision: number;
  dest: string;
  nodes: string[];
  /** When the last of them got it. */
  newest: string | null;
}

export function together(placements: readonly PlacementView[]): Group[] {
  const groups = new Map<string, Group>();
  for (const { node, dest, revision, at } of placements) {
    const key = `${revision} ${dest}`;
    const group = groups.get(key) ?? { revision, dest, nodes: [], newest: null };
    group.nodes.push(node);
    if (at !== null && (group.newest === null || at > group.newest)) group.newest = at;
    groups.set(key, group);
  }
  return [...groups.values()].sort((a, b) => b.revision - a.revision || a.dest.localeCompare(b.dest));
}
