// The labels of a node, edited in place. What somebody else changed meanwhile is not overwritten (If-Match).
import { useState } from "react";
import { useTranslation } from "react-i18next";
import type { NodeView } from "../../api/types";
import { useSetLabels } from "../../data/nodes";
import { Act } from "../../kit/Act";
import { Trouble } from "../../kit/asked";

export function Labels({ node }: { node: NodeView }) {
  const { t } = useTranslation();
  const change = useSetLabels(node.id);
  const [name, setName] = useState("");
  const [value, setValue] = useState("");
  const set = (labels: Record<string, string | null>) =>
    change.mutate({ labels, version: node.resource_version }, { onSuccess: () => (setName(""), setValue("")) });
  return (
    <section className="panel stack">
      <h2>{t("node.labels")}</h2>
      {Object.keys(node.labels).length === 0 && <p className="muted">{t("node.no_labels")}</p>}
      <table>
        <tbody>
          {Object.entries(node.labels).map(([label, held]) => (
            <tr key={label}>
              <td className="mono break">{label}</td>
              <td className="mono break">{held}</td>
              <td className="right">
                <Act needs="node.write" className="plain" onClick={() => set({ [label]: null })} disabled={change.isPending} aria-label={t("node.remove_label", { label })}>
                  ✕
                </Act>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      <form
        className="row"
        onSubmit={(event) => {
          event.preventDefault();
          if (name.trim()) set({ [name.trim()]: value });
        }}
      >
        <input className="mono grow" aria-label={t("node.label_name")} placeholder={t("node.label_name")} value={name} onChange={(event) => setName(event.target.value)} />
        <input className="mono grow" aria-label={t("node.label_value")} placeholder={t("node.label_value")} value={value} onChange={(event) => setValue(event.target.value)} />
        <Act needs="node.write" disabled={!name.trim() || change.isPending}>
          {t("node.set_label")}
        </Act>
      </form>
      {node.groups.length > 0 && (
        <div className="row small">
          <span className="muted">{t("node.groups")}</span>
          <span className="chips">
            {node.groups.map((group) => (
              <span key={group} className="chip">
                {group}
              </span>
            ))}
          </span>
        </div>
      )}
      {change.error && <Trouble error={change.error} />}
    </section>
  );
}
