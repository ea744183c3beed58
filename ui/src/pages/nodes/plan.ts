// What has to be sent so that many nodes get one label or group, or lose it. Pure.
import type { NodeView } from "../../api/types";
import type { Step } from "../../data/nodes";
import { parts } from "../../text/selectors";

export type Change = { what: "label"; name: string; value: string | null } | { what: "group"; name: string; into: boolean };

/**
 * Nodes by name and not by the filter: who matches meanwhile was not counted when it was confirmed. Labels merge, but the server
 * replaces groups as a whole, so nodes of equal groups go together. Those that are so already are left out.
 */
export function steps(nodes: readonly NodeView[], change: Change): Step[] {
  if (change.what === "label") {
    const { name, value } = change;
    const open = nodes.filter((node) => (value === null ? Object.hasOwn(node.labels, name) : node.labels[name] !== value));
    return parts(open.map((node) => node.id)).map((ids) => ({ ids, labels: { [name]: value } }));
  }
  const alike = new Map<string, { groups: string[]; ids: string[] }>();
  for (const node of nodes) {
    if (node.groups.includes(change.name) === change.into) continue;
    const groups = (change.into ? [...node.groups, change.name] : node.groups.filter((group) => group !== change.name)).sort();
    const key = groups.join(" ");
    const found = alike.get(key) ?? { groups, ids: [] };
    found.ids.push(node.id);
    alike.set(key, found);
  }
  return [...alike.values()].flatMap(({ groups, ids }) => parts(ids).map((part) => ({ ids: part, groups })));
}
