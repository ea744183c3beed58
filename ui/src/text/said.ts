// What the server says in words of its own, in the reader's language where the words are known. Pure.
import type { TFunction } from "i18next";

/** Why a task is where it is. */
export function reasonSaid(t: TFunction, task: { reason: string; reason_text: string }): string {
  return task.reason === "" ? "" : t(`reason.${task.reason}`, { defaultValue: task.reason_text });
}

/** The name of a stage, which the server makes from how many nodes it has when nobody names it. */
export function stageSaid(t: TFunction, name: string): string {
  const counted = /^(\d+) nodes?$/.exec(name);
  if (counted) return t("rollouts.nodes", { count: Number(counted[1]) });
  return name === "the rest" ? t("rollouts.the_rest") : name;
}

const PRESENCE: readonly [RegExp, string][] = [
  [/^connected$/, "connected"],
  [/^it beats$/, "beats"],
  [/^it is not connected$/, "not_connected"],
  [/^no beat for (?<time>.+)$/, "no_beat"],
  [/^its link closed: (?<why>.+)$/, "closed_why"],
  [/^its link closed$/, "closed"],
];

/** Why a node counts as there or not. */
export function presenceSaid(t: TFunction, reason: string): string {
  for (const [words, key] of PRESENCE) {
    const found = words.exec(reason);
    if (found) return t(`presence.${key}`, { ...found.groups });
  }
  return reason;
}
