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

export interface Place {
  dest: string;
  nodes: string[];
}

/** Each path at which any revision is, with its nodes; the one with the most of them first. */
export function placesOf(placements: readonly PlacementView[]): Place[] {
  const places = new Map<string, Place>();
  for (const { node, dest } of placements) {
    const place = places.get(dest) ?? { dest, nodes: [] };
    place.nodes.push(node);
    places.set(dest, place);
  }
  return [...places.values()].sort((a, b) => b.nodes.length - a.nodes.length || a.dest.localeCompare(b.dest));
}

/** A selector takes so many bytes (corral.domain.selector); names are ASCII. */
const SELECTOR_MOST = 4096;

/** The nodes by name; empty when that is longer than a selector may be. */
export function targetOf(nodes: readonly string[]): string {
  const text = [...nodes].sort().join(",");
  return text.length > SELECTOR_MOST ? "" : text;
}
