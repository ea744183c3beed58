// The columns a list of nodes can have: what each says as text (for a file) and, where that is more, as it is shown.
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import type { NodeView } from "../../api/types";
import { State } from "../../kit/states";
import { bytes, When } from "../../kit/when";

export interface Column {
  name: string;
  text: (node: NodeView) => string;
  cell?: (node: NodeView) => ReactNode;
  look?: string;
}

const CHIPS = 4;

/** In the order in which they stand; the first is always there. */
export const COLUMNS: readonly Column[] = [
  { name: "node", text: (node) => node.id, cell: (node) => <Link to={`/nodes/${encodeURIComponent(node.id)}`}>{node.id}</Link>, look: "cut" },
  { name: "presence", text: presence, cell: (node) => <Presence node={node} /> },
  { name: "labels", text: (node) => labels(node).join(", "), cell: (node) => <Chips words={labels(node)} />, look: "nowrap" },
  { name: "groups", text: (node) => node.groups.join(", "), cell: (node) => <Chips words={node.groups} />, look: "nowrap" },
  { name: "load", text: (node) => (typeof node.facts["load1"] === "number" ? node.facts["load1"].toFixed(2) : ""), look: "mono" },
  { name: "tasks", text: running, look: "mono" },
  { name: "os", text: (node) => `${said(node, "os")} ${said(node, "os_version")}`.trim(), look: "cut" },
  { name: "kernel", text: (node) => said(node, "kernel"), look: "cut" },
  { name: "arch", text: (node) => said(node, "arch") },
  { name: "cpus", text: (node) => said(node, "cpu_count"), look: "mono" },
  { name: "memory", text: (node) => said(node, "mem_total"), cell: (node) => memory(node), look: "nowrap" },
  { name: "addresses", text: addresses, look: "cut mono" },
  { name: "host", text: (node) => said(node, "hostname"), look: "cut" },
  { name: "version", text: (node) => node.version, look: "mono" },
  { name: "enrolled", text: (node) => node.enrolled_at ?? "", cell: (node) => <When at={node.enrolled_at} /> },
  { name: "seen", text: (node) => node.last_seen ?? "", cell: (node) => <When at={node.last_seen} /> },
];

export const FIRST = "node,presence,labels,load,tasks,os,version,seen";

/** The columns an address names, in their own order; names that are none are passed over. */
export function named(address: string): Column[] {
  const wanted = new Set(address.split(","));
  return COLUMNS.filter((column, index) => index === 0 || wanted.has(column.name));
}

function Presence({ node }: { node: NodeView }) {
  const { t } = useTranslation();
  return (
    <>
      <State state={node.revoked ? "revoked" : node.presence} />
      {node.presence === "online" && node.worker === "down" && <span className="small"> · {t("nodes.worker_down")}</span>}
    </>
  );
}

function Chips({ words }: { words: readonly string[] }) {
  return words.slice(0, CHIPS).map((word) => (
    <span key={word} className="chip" style={{ marginRight: 4 }} title={word}>
      {word}
    </span>
  ));
}

function presence(node: NodeView): string {
  if (node.revoked) return "revoked";
  return node.presence === "online" && node.worker === "down" ? "online, worker down" : node.presence;
}

function labels(node: NodeView): string[] {
  return Object.entries(node.labels).map(([name, value]) => `${name}=${value}`);
}

function running(node: NodeView): string {
  const vitals = node.vitals ?? {};
  return typeof vitals["running"] === "number" ? `${vitals["running"]}+${typeof vitals["queued"] === "number" ? vitals["queued"] : 0}` : "";
}

function memory(node: NodeView): string {
  const total = node.facts["mem_total"];
  return typeof total === "number" ? bytes(total) : "–";
}

function addresses(node: NodeView): string {
  const ips = node.facts["ips"];
  return Array.isArray(ips) ? ips.filter((ip) => typeof ip === "string").join(", ") : "";
}

function said(node: NodeView, fact: string): string {
  const value = node.facts[fact];
  return typeof value === "string" || typeof value === "number" ? String(value) : "";
}
