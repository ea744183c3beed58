// The fleet as a picture: grouped by any label, coloured by presence, load or what runs.
import { useCallback, useMemo } from "react";
import { useTranslation } from "react-i18next";
import type { NodeView } from "../api/types";
import { look } from "../kit/states";
import { Cells } from "./Cells";

interface Props {
  /** The newest task of each node, for the colour "result". */
  results?: ReadonlyMap<string, string> | undefined;
  nodes: readonly NodeView[];
  group: string;
  colour: string;
  groups: readonly string[];
  onGroup: (group: string) => void;
  onColour: (colour: string) => void;
  onOpen: (id: string) => void;
  chosen?: ReadonlySet<string> | undefined;
  onBrush?: ((ids: readonly string[]) => void) | undefined;
}

const NONE = "–";

/** The labels worth grouping by: those that split the fleet into a few dozen parts at most. */
export function useGrouping(nodes: readonly NodeView[]): string[] {
  return useMemo(() => {
    const values = new Map<string, Set<string>>();
    for (const node of nodes) {
      for (const [name, value] of Object.entries(node.labels)) {
        const found = values.get(name) ?? new Set();
        found.add(value);
        values.set(name, found);
      }
    }
    return [...values].filter(([, found]) => found.size <= 40).map(([name]) => name).sort();
  }, [nodes]);
}

export function Fleet({ results, nodes, group, colour, groups, onGroup, onColour, onOpen, chosen, onBrush }: Props) {
  const { t } = useTranslation();
  const byId = useMemo(() => new Map(nodes.map((node) => [node.id, node])), [nodes]);
  const parts = useMemo(() => grouped(nodes, group), [nodes, group]);
  const stateOf = useCallback((id: string) => (colour === "result" ? (results?.get(id) ?? "no_result") : shade(byId.get(id), colour)), [byId, colour, results]);
  const counts = useMemo(() => {
    const found = new Map<string, number>();
    for (const node of nodes) found.set(stateOf(node.id), (found.get(stateOf(node.id)) ?? 0) + 1);
    return [...found].sort((a, b) => b[1] - a[1]);
  }, [nodes, stateOf]);
  return (
    <div className="stack">
      <div className="row">
        <label className="row small muted">
          {t("fleet.group")}
          <select value={group} onChange={(event) => onGroup(event.target.value)}>
            <option value="">{t("fleet.no_group")}</option>
            {groups.map((name) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </label>
        <label className="row small muted">
          {t("fleet.colour")}
          <select value={colour} onChange={(event) => onColour(event.target.value)}>
            {(results ? ["presence", "load", "tasks", "result"] : ["presence", "load", "tasks"]).map((name) => (
              <option key={name} value={name}>
                {t(`fleet.by.${name}`)}
              </option>
            ))}
          </select>
        </label>
        <div className="legend" style={{ marginLeft: "auto" }}>
          {counts.map(([state, count]) => (
            <span key={state} className={`state ${look(state).tone}`}>
              <i aria-hidden="true">{look(state).letter}</i>
              {t(`state.${state}`, { defaultValue: state })} {count}
            </span>
          ))}
        </div>
      </div>
      <Cells
        groups={parts}
        stateOf={stateOf}
        onOpen={onOpen}
        chosen={chosen}
        onBrush={onBrush}
        tip={(id) => `${id} · ${t(`state.${stateOf(id)}`)}`}
        label={t("fleet.picture", {
          count: nodes.length,
          states: counts.map(([state, count]) => `${count} ${t(`state.${state}`)}`).join(", "),
        })}
      />
    </div>
  );
}

function grouped(nodes: readonly NodeView[], group: string): [string, string[]][] {
  if (!group) return [["", nodes.map((node) => node.id)]];
  const parts = new Map<string, string[]>();
  for (const node of nodes) {
    const value = node.labels[group] ?? NONE;
    const part = parts.get(value);
    if (part) part.push(node.id);
    else parts.set(value, [node.id]);
  }
  return [...parts].sort((a, b) => (a[0] === NONE ? 1 : b[0] === NONE ? -1 : a[0].localeCompare(b[0])));
}

/** The word a node's colour stands for. Load is per core: 0.7 is busy, 1.5 too much. */
export function shade(node: NodeView | undefined, colour: string): string {
  if (node === undefined) return "unknown";
  if (node.revoked) return "revoked";
  if (colour === "presence" || node.presence !== "online") return node.presence;
  if (colour === "tasks") {
    const vitals = node.vitals ?? {};
    if (node.worker === "down") return "down";
    return Number(vitals["running"] ?? 0) > 0 ? "running" : "free";
  }
  const load = node.facts["load1"];
  if (typeof load !== "number") return "no_load";
  const cores = Number(node.facts["cpu_count"] ?? 1) || 1;
  return load / cores < 0.7 ? "calm" : load / cores < 1.5 ? "loaded" : "overloaded";
}
