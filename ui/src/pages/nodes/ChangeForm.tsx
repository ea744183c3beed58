// Asks which label or group the selected nodes get or lose, and above the threshold for their count.
import { useState } from "react";
import { useTranslation } from "react-i18next";
import type { NodeView } from "../../api/types";
import { Confirm } from "../../kit/Confirm";
import type { Change } from "./plan";

export type Wish = "label" | "unlabel" | "join" | "leave";

interface Props {
  wish: Wish;
  nodes: readonly NodeView[];
  busy: boolean;
  onSend: (change: Change) => void;
  onClose: () => void;
}

export function ChangeForm({ wish, nodes, busy, onSend, onClose }: Props) {
  const { t } = useTranslation();
  const [name, setName] = useState("");
  const [value, setValue] = useState("");
  const named = name.trim();
  const label = wish === "label" || wish === "unlabel";
  const have = [...new Set(nodes.flatMap((node) => (label ? Object.keys(node.labels) : node.groups)))].sort();
  const change: Change = label ? { what: "label", name: named, value: wish === "label" ? value : null } : { what: "group", name: named, into: wish === "join" };
  const affected = nodes.filter((node) => (label ? Object.hasOwn(node.labels, named) : node.groups.includes(named))).length;
  return (
    <Confirm
      title={t(`nodes.bulk.title_${wish}`, { count: nodes.length })}
      action={t(`nodes.bulk.do_${wish}`)}
      count={nodes.length}
      danger={false}
      busy={busy || named === ""}
      onYes={() => onSend(change)}
      onClose={onClose}
    >
      <div className="row">
        <label className="field grow">
          {t(label ? "nodes.bulk.label_name" : "nodes.bulk.group_name")}
          <input className="mono" value={name} onChange={(event) => setName(event.target.value)} list="bulk-names" autoComplete="off" spellCheck={false} autoCapitalize="off" />
        </label>
        {wish === "label" && (
          <label className="field grow">
            {t("nodes.bulk.label_value")}
            <input className="mono" value={value} onChange={(event) => setValue(event.target.value)} autoComplete="off" spellCheck={false} autoCapitalize="off" />
          </label>
        )}
      </div>
      <datalist id="bulk-names">
        {have.slice(0, 100).map((one) => (
          <option key={one} value={one} />
        ))}
      </datalist>
      {named !== "" && <p className="small muted">{t(label ? "nodes.bulk.have_label" : "nodes.bulk.have_group", { count: affected, name: named })}</p>}
    </Confirm>
  );
}
