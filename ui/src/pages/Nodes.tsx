// The fleet as a list: a selector in the address, the server's word on it, a table that stays fast at thousands of rows.
import { type Dispatch, type SetStateAction, useCallback, useMemo, useState } from "react";
import { useTranslation } from "react-i18next";
import { Link, useNavigate } from "react-router";
import { Problem } from "../api/client";
import type { NodeView } from "../api/types";
import { useLastStates } from "../data/jobs";
import { useLiveNodes, useNodes } from "../data/nodes";
import { useMay } from "../data/session";
import { Asked, Empty, Trouble } from "../kit/asked";
import { SelectorField } from "../kit/selector";
import { useAddress } from "../kit/address";
import { Fleet, useGrouping } from "../pictures/Fleet";
import { listed } from "../text/selectors";
import { Bulk } from "./nodes/Bulk";
import { FIRST, named } from "./nodes/columns";
import { brushed, chosen, NOTHING, type Selection, toggled } from "./nodes/selection";
import { Table } from "./nodes/Table";
import { ColumnMenu, Export } from "./nodes/Tools";

/** The server's presences, and one that is only ours: online, with its worker down. */
const PRESENCES = ["online", "offline", "unknown", "worker_down"];

export function Nodes() {
  const { t } = useTranslation();
  const [address, set] = useAddress({ selector: "", presence: "", view: "table", group: "", colour: "presence", columns: FIRST });
  const live = useLiveNodes();
  const down = address.presence === "worker_down";
  const nodes = useNodes(address.selector, down ? "online" : address.presence);
  const found = useMemo(() => (down ? nodes.data?.filter((node) => node.worker === "down") : nodes.data), [nodes.data, down]);
  const change = useCallback((selector: string) => set({ selector }), [set]);
  const columns = useMemo(() => named(address.columns), [address.columns]);
  const [held, setHeld] = useState(NOTHING);
  const wrong = nodes.isError;
  const badSelector = nodes.error instanceof Problem && nodes.error.status === 400;
  return (
    <>
      <div className="head">
        <h1>{t("nodes.title")}</h1>
        <span className={live ? "live" : "live off"}>{live ? t("kit.live") : t("kit.reconnecting")}</span>
        <span className="muted">{found && !wrong ? t("nodes.count", { count: found.length }) : ""}</span>
      </div>
      <div className="row" style={{ alignItems: "flex-start", marginBottom: 12 }}>
        <SelectorField
          value={address.selector}
          onChange={change}
          error={nodes.error}
          label={t("nodes.selector")}
          placeholder={t("nodes.selector_example")}
        />
        <select
          value={address.presence}
          onChange={(event) => set({ presence: event.target.value })}
          aria-label={t("nodes.presence")}
        >
          <option value="">{t("nodes.any_presence")}</option>
          {PRESENCES.map((word) => (
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
        {address.view === "table" && <ColumnMenu columns={columns} onColumns={(names) => set({ columns: names })} />}
        <Export nodes={found && !wrong ? found : []} columns={columns} />
        <Link className="button" to={`/run?target=${encodeURIComponent(address.selector || "all")}`}>
          {t("nodes.run_here")}
        </Link>
      </div>
      {badSelector && nodes.data === undefined ? null : wrong && !badSelector ? (
        <Trouble error={nodes.error} again={() => void nodes.refetch()} />
      ) : (
        <Asked query={{ ...nodes, data: found }}>
          {(shown) => <Found nodes={shown} address={address} set={set} columns={columns} settled={!nodes.isPlaceholderData} held={held} setHeld={setHeld} />}
        </Asked>
      )}
    </>
  );
}

interface FoundProps {
  nodes: NodeView[];
  address: { selector: string; presence: string; view: string; group: string; colour: string };
  set: (next: Record<string, string>) => void;
  columns: ReturnType<typeof named>;
  /** Whether the nodes are those of the filter in the address, and not those of the one before. */
  settled: boolean;
  held: Selection;
  setHeld: Dispatch<SetStateAction<Selection>>;
}

function Found({ nodes, address, set, columns, settled, held, setHeld }: FoundProps) {
  const { t } = useTranslation();
  const filter = `${address.presence} ${address.selector}`;
  const ids = useMemo(() => nodes.map((node) => node.id), [nodes]);
  const picked = useMemo(() => (settled ? chosen(held, ids, filter) : NOTHING.picked), [held, ids, filter, settled]);
  const selected = useMemo(() => nodes.filter((node) => picked.has(node.id)), [nodes, picked]);
  const toggle = useCallback((id: string, range: boolean) => setHeld((before) => toggled(before, ids, filter, id, range)), [ids, filter, setHeld]);
  const brush = useCallback((box: readonly string[]) => setHeld((before) => brushed(before, ids, filter, box)), [ids, filter, setHeld]);
  return (
    <>
      {nodes.length === 0 ? (
        <div className="panel">
          <Empty title={address.selector || address.presence ? t("nodes.none_match") : t("nodes.none")} />
        </div>
      ) : address.view === "picture" ? (
        <Picture nodes={nodes} group={address.group} colour={address.colour} set={set} chosen={picked} onBrush={brush} />
      ) : (
        <Table nodes={nodes} columns={columns} chosen={picked} onToggle={toggle} onAll={(on) => setHeld(on ? { ...NOTHING, all: filter } : NOTHING)} />
      )}
      <Bulk nodes={selected} filter={held.all === filter ? listed(address.selector, address.presence) : null} onSelect={(some) => setHeld({ ...NOTHING, picked: new Set(some) })} />
    </>
  );
}

interface PictureProps {
  nodes: NodeView[];
  group: string;
  colour: string;
  set: (next: Record<string, string>) => void;
  chosen: ReadonlySet<string>;
  onBrush: (ids: readonly string[]) => void;
}

function Picture({ nodes, group, colour, set, chosen, onBrush }: PictureProps) {
  const navigate = useNavigate();
  const grouping = useGrouping(nodes);
  const readable = useMay("exec.read");
  const results = useLastStates(readable && colour === "result");
  return (
    <div className="panel">
      <Fleet
        results={readable ? results : undefined}
        nodes={nodes}
        group={group}
        colour={colour}
        groups={grouping}
        onGroup={(name) => set({ group: name })}
        onColour={(name) => set({ colour: name })}
        onOpen={(id) => void navigate(`/nodes/${encodeURIComponent(id)}`)}
        chosen={chosen}
        onBrush={onBrush}
      />
    </div>
  );
}
