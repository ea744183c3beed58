// The fleet as a list: a selector in the address, the server's word on it, a table that stays fast at thousands of rows.
import { useVirtualizer } from "@tanstack/react-virtual";
import { memo, useCallback, useMemo, useRef } from "react";
import { useTranslation } from "react-i18next";
import { Link, useNavigate } from "react-router";
import { Problem } from "../api/client";
import type { NodeView } from "../api/types";
import { useLastStates } from "../data/jobs";
import { useLiveNodes, useNodes } from "../data/nodes";
import { useMay } from "../data/session";
import { Asked, Empty, Trouble } from "../kit/asked";
import { SelectorField } from "../kit/selector";
import { State } from "../kit/states";
import { useAddress } from "../kit/address";
import { When } from "../kit/when";
import { Fleet, useGrouping } from "../pictures/Fleet";

export function Nodes() {
  const { t } = useTranslation();
  const [address, set] = useAddress({ selector: "", presence: "", view: "table", group: "", colour: "presence" });
  const live = useLiveNodes();
  const nodes = useNodes(address.selector, address.presence);
  const offered = useMemo(() => words(nodes.data ?? []), [nodes.data]);
  const change = useCallback((selector: string) => set({ selector }), [set]);
  const wrong = nodes.isError;
  const badSelector = nodes.error instanceof Problem && nodes.error.status === 400;
  return (
    <>
      <div className="head">
        <h1>{t("nodes.title")}</h1>
        <span className={live ? "live" : "live off"}>{live ? t("kit.live") : t("kit.reconnecting")}</span>
        <span className="muted">{nodes.data && !wrong ? t("nodes.count", { count: nodes.data.length }) : ""}</span>
      </div>
      <div className="row" style={{ alignItems: "flex-start", marginBottom: 12 }}>
        <SelectorField
          value={address.selector}
          onChange={change}
          error={nodes.error}
          label={t("nodes.selector")}
          placeholder={t("nodes.selector_example")}
          words={offered}
        />
        <select
          value={address.presence}
          onChange={(event) => set({ presence: event.target.value })}
          aria-label={t("nodes.presence")}
        >
          <option value="">{t("nodes.any_presence")}</option>
          {["online", "offline", "unknown"].map((word) => (
            <option key={word} value={word}>
              {t(`state.${word}`)}
            </option>
          ))}
        </select>
        <div className="segments">
          {["table", "picture"].map((view) => (
            <button key={view} aria-pressed={address.view === view} onClick={() => set({ view })}>
              {t(`nodes.${view}`)}
            </button>
          ))}
        </div>
        <Link className="button" to={`/run?target=${encodeURIComponent(address.selector || "all")}`}>
          {t("nodes.run_here")}
        </Link>
      </div>
      {badSelector && nodes.data === undefined ? null : wrong && !badSelector ? (
        <Trouble error={nodes.error} again={() => void nodes.refetch()} />
      ) : (
        <Asked query={nodes}>
          {(found) =>
            found.length === 0 ? (
              <div className="panel">
                <Empty title={address.selector || address.presence ? t("nodes.none_match") : t("nodes.none")} />
              </div>
            ) : address.view === "picture" ? (
              <Picture nodes={found} group={address.group} colour={address.colour} set={set} />
            ) : (
              <Table nodes={found} />
            )
          }
        </Asked>
      )}
    </>
  );
}

function Picture(props: { nodes: NodeView[]; group: string; colour: string; set: (next: Record<string, string>) => void }) {
  const navigate = useNavigate();
  const grouping = useGrouping(props.nodes);
  const readable = useMay("exec.read");
  const results = useLastStates(readable && props.colour === "result");
  return (
    <div className="panel">
      <Fleet
        results={readable ? results : undefined}
        nodes={props.nodes}
        group={props.group}
        colour={props.colour}
        groups={grouping}
        onGroup={(group) => props.set({ group })}
        onColour={(colour) => props.set({ colour })}
        onOpen={(id) => void navigate(`/nodes/${encodeURIComponent(id)}`)}
      />
    </div>
  );
}

const ROW = 34;

function Table({ nodes }: { nodes: NodeView[] }) {
  const { t } = useTranslation();
  const box = useRef<HTMLDivElement>(null);
  const rows = useVirtualizer({ count: nodes.length, getScrollElement: () => box.current, estimateSize: () => ROW, overscan: 12 });
  const shown = rows.getVirtualItems();
  const above = shown[0]?.start ?? 0;
  const below = rows.getTotalSize() - (shown.at(-1)?.end ?? 0);
  return (
    <div className="panel" style={{ padding: "4px 16px" }}>
      <div ref={box} className="scroll" style={{ maxHeight: "calc(100vh - 190px)", overflowY: "auto" }} tabIndex={0} role="region" aria-label={t("nodes.title")}>
        <table>
          <thead>
            <tr>
              {["node", "presence", "labels", "load", "tasks", "os", "version", "seen"].map((name) => (
                <th key={name}>{t(`nodes.column.${name}`)}</th>
              ))}
            </tr>
          </thead>
          <tbody>
            {above > 0 && <tr aria-hidden="true" style={{ height: above }} />}
            {shown.map(({ index, key }) => {
              const node = nodes[index];
              return node && <Row key={key} node={node} />;
            })}
            {below > 0 && <tr aria-hidden="true" style={{ height: below }} />}
          </tbody>
        </table>
      </div>
    </div>
  );
}

const Row = memo(function Row({ node }: { node: NodeView }) {
  const { t } = useTranslation();
  const facts = node.facts;
  const load = typeof facts["load1"] === "number" ? facts["load1"].toFixed(2) : "–";
  return (
    <tr style={{ height: ROW }}>
      <td className="cut">
        <Link to={`/nodes/${encodeURIComponent(node.id)}`}>{node.id}</Link>
      </td>
      <td>
        <State state={node.revoked ? "revoked" : node.presence} />
        {node.presence === "online" && node.worker === "down" && <span className="small"> · {t("nodes.worker_down")}</span>}
      </td>
      <td className="nowrap">
        {Object.entries(node.labels)
          .slice(0, 4)
          .map(([name, value]) => (
            <span key={name} className="chip" style={{ marginRight: 4 }} title={`${name}=${value}`}>
              {name}={value}
            </span>
          ))}
      </td>
      <td className="mono">{load}</td>
      <td className="mono">{running(node)}</td>
      <td className="cut">{text(facts["os"])} {text(facts["os_version"])}</td>
      <td className="mono">{node.version}</td>
      <td>
        <When at={node.last_seen} />
      </td>
    </tr>
  );
});

function running(node: NodeView): string {
  const vitals = node.vitals ?? {};
  return typeof vitals["running"] === "number" ? `${vitals["running"]}+${text(vitals["queued"])}` : "–";
}

function text(value: unknown): string {
  return typeof value === "string" || typeof value === "number" ? String(value) : "";
}

/** What a selector may begin with, offered from what the nodes really have. */
export function words(nodes: readonly NodeView[]): string[] {
  const found = new Set<string>(["all"]);
  for (const node of nodes.slice(0, 500)) {
    for (const [name, value] of Object.entries(node.labels)) found.add(`labels[${JSON.stringify(name)}] == ${JSON.stringify(value)}`);
    for (const group of node.groups) found.add(`${JSON.stringify(group)} in groups`);
    const os = node.facts["os"];
    if (typeof os === "string") found.add(`facts["os"] == ${JSON.stringify(os)}`);
    if (found.size > 60) break;
  }
  return [...found];
}
