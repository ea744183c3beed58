// One node: how it stands, what it measures, what ran on it, its labels, and how it goes.
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { Link, useNavigate, useParams } from "react-router";
import type { NodeView } from "../api/types";
import { useLiveNodes, useNode, useRemoveNode } from "../data/nodes";
import { Act } from "../kit/Act";
import { Asked } from "../kit/asked";
import { ConfirmName } from "../kit/ConfirmName";
import { State } from "../kit/states";
import { When, bytes, duration } from "../kit/when";
import { Figures } from "./node/Figures";
import { Labels } from "./node/Labels";
import { NodeFiles } from "./node/NodeFiles";
import { Presence } from "./node/Presence";
import { Tasks } from "./node/Tasks";
import { presenceSaid } from "../text/said";

export function NodePage() {
  const { node = "" } = useParams();
  const found = useNode(node);
  useLiveNodes();
  return <Asked query={found}>{(data) => <Detail node={data} />}</Asked>;
}

function Detail({ node }: { node: NodeView }) {
  const { t } = useTranslation();
  const [removing, setRemoving] = useState(false);
  return (
    <>
      <div className="head">
        <h1>{node.id}</h1>
        <State state={node.revoked ? "revoked" : node.presence} />
        <span className="muted small">
          {presenceSaid(t, node.presence_reason)} · <When at={node.presence_since} />
        </span>
        <span className="grow" />
        <Link className="button" to={`/run?target=${encodeURIComponent(node.id)}`}>
          {t("nodes.run_here")}
        </Link>
        <Act needs="node.remove" className="danger" onClick={() => setRemoving(true)}>
          {t("node.remove")}
        </Act>
      </div>
      {node.warning && <p className="note warn panel">{node.warning}</p>}
      {node.revoked && <p className="note bad panel">{t("node.revoked", { reason: node.revoked_reason })}</p>}
      <Figures node={node.id} />
      <Presence node={node.id} />
      <div className="columns" style={{ marginBottom: 14 }}>
        <Facts node={node} />
        <Labels key={node.resource_version} node={node} />
      </div>
      <NodeFiles node={node.id} />
      <Tasks node={node.id} />
      {removing && <Removal node={node} onClose={() => setRemoving(false)} />}
    </>
  );
}

function Facts({ node }: { node: NodeView }) {
  const { t } = useTranslation();
  const facts = node.facts;
  const vitals = node.vitals ?? {};
  const rows: [string, React.ReactNode][] = [
    ["worker", <State key="w" state={node.worker} />],
    ["slots", `${word(vitals["running"])} / ${word(vitals["slots"])}, ${t("node.queued", { count: Number(vitals["queued"] ?? 0) })}`],
    ["spool", `${word(vitals["spool"])} · ${bytes(Number(vitals["spool_bytes"] ?? 0))}`],
    ["skew", `${word(vitals["skew_seconds"])} s`],
    ["host", word(facts["hostname"])],
    ["os", word(facts["os_name"]) || `${word(facts["os"])} ${word(facts["os_version"])}`],
    ["kernel", `${word(facts["kernel"])} ${word(facts["arch"])}`],
    ["cpu", `${word(facts["cpu_count"])} × ${word(facts["cpu_model"])}`],
    ["memory", typeof facts["mem_total"] === "number" ? bytes(facts["mem_total"]) : ""],
    ["addresses", Array.isArray(facts["ips"]) ? facts["ips"].map(word).join(", ") : ""],
    ["uptime", typeof facts["uptime"] === "number" ? duration(facts["uptime"]) : ""],
    ["agent", node.version],
    ["enrolled", <When key="e" at={node.enrolled_at} />],
    ["seen", <When key="s" at={node.last_seen} />],
  ];
  const known = new Set(["hostname", "os", "os_name", "os_version", "kernel", "arch", "cpu_count", "cpu_model", "mem_total", "ips", "uptime", "agent_version"]);
  const others = Object.entries(facts).filter(([name]) => !known.has(name));
  return (
    <section className="panel">
      <h2>{t("node.facts")}</h2>
      <dl className="facts">
        {rows.map(([name, value]) => (
          <Fact key={name} name={t(`node.fact.${name}`)} value={value} />
        ))}
      </dl>
      {others.length > 0 && (
        <details style={{ marginTop: 8 }}>
          <summary className="muted">{t("node.more_facts", { count: others.length })}</summary>
          <dl className="facts">
            {others.map(([name, value]) => (
              <Fact key={name} name={name} value={typeof value === "object" ? JSON.stringify(value) : word(value)} />
            ))}
          </dl>
        </details>
      )}
    </section>
  );
}

function Fact({ name, value }: { name: string; value: React.ReactNode }) {
  return (
    <>
      <dt>{name}</dt>
      <dd>{value || "–"}</dd>
    </>
  );
}

function word(value: unknown): string {
  return value === null || value === undefined ? "" : String(value);
}

function Removal({ node, onClose }: { node: NodeView; onClose: () => void }) {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const remove = useRemoveNode(node.id);
  const [force, setForce] = useState(false);
  const openTasks = Number(node.vitals?.["running"] ?? 0) + Number(node.vitals?.["queued"] ?? 0);
  return (
    <ConfirmName
      onClose={onClose}
      title={t("node.remove")}
      name={node.id}
      busy={remove.isPending}
      error={remove.error}
      onYes={() => remove.mutate(force, { onSuccess: () => void navigate("/nodes") })}
    >
      <ul style={{ margin: 0, paddingLeft: 18 }}>
        <li>{t("node.removal.link")}</li>
        <li>{t("node.removal.history")}</li>
        <li>{t("node.removal.again")}</li>
        {openTasks > 0 && <li>{t("node.removal.tasks", { count: openTasks })}</li>}
      </ul>
      <label className="row">
        <input type="checkbox" checked={force} onChange={(event) => setForce(event.target.checked)} />
        {t("node.removal.force")}
      </label>
    </ConfirmName>
  );
}
