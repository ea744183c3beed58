// What has to be sent so that many nodes get one label or group, or lose it. Pure.
import type { NodeView } from "../../api/types";
import type { Step } from "../../data/nodes";
import { parts } from "../../text/selectors";

export type Change = { what: "label"; name: string; value: string | null } | { what: "group"; name: string; into: boolean };

/** Nodes by name and not by the filter: who matches meanwhile was not counted when it was confirmed. Those that are so already are left out. */
export function steps(nodes: readonly NodeView[], change: Change): Step[] {
  const step = stepOf(change);
  const open = nodes.filter((node) => !isSo(node, change));
  return parts(open.map((node) => node.id)).map((ids) => ({ ids, ...step }));
}

function isSo(node: NodeView, change: Change): boolean {
  if (change.what === "group") return node.groups.includes(change.name) === change.into;
  return change.value === null ? !Object.hasOwn(node.labels, change.name) : node.labels[change.name] === change.value;
}

function stepOf(change: Change): Omit<Step, "ids"> {
  if (change.what === "label") return { labels: { [change.name]: change.value } };
  return change.into ? { add_groups: [change.name] } : { remove_groups: [change.name] };
}
