// What can be done with the selected nodes at once. It stands under the list, so that no row moves when it appears.
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import type { NodeView } from "../../api/types";
import { type Changed, useChangeNodes } from "../../data/nodes";
import { Act } from "../../kit/Act";
import { naming, SELECTOR_MAX } from "../../text/selectors";
import { ChangeForm, type Wish } from "./ChangeForm";
import { Outcome } from "./Outcome";
import { type Change, steps } from "./plan";

interface Props {
  nodes: readonly NodeView[];
  /** The filter as a selector when everything it shows is selected; null when not, or when it cannot be said as one. */
  filter: string | null;
  onSelect: (ids: readonly string[]) => void;
}

export function Bulk({ nodes, filter, onSelect }: Props) {
  const { t } = useTranslation();
  const change = useChangeNodes();
  const [asked, setAsked] = useState<{ wish: Wish; nodes: readonly NodeView[] } | null>(null);
  const [told, setTold] = useState<{ change: Change; result: Changed; same: number } | null>(null);
  const target = filter ?? naming(nodes.map((node) => node.id));
  const send = (what: Change, on: readonly NodeView[]) => {
    const plan = steps(on, what);
    const open = plan.reduce((sum, step) => sum + step.ids.length, 0);
    change.mutate(plan, {
      onSuccess: (result) => {
        setTold({ change: what, result, same: on.length - open });
        setAsked(null);
      },
    });
  };
  if (nodes.length === 0 && told === null && asked === null) return null;
  return (
    <section className="panel bulk stack" aria-label={t("nodes.bulk.title")}>
      {nodes.length > 0 && (
        <div className="row">
          <b aria-live="polite">{t("nodes.bulk.selected", { count: nodes.length })}</b>
          {target === null ? (
            <button disabled title={t("nodes.bulk.too_long", { most: SELECTOR_MAX })}>
              {t("nodes.bulk.run")}
            </button>
          ) : (
            <Link className="button primary" to={`/run?target=${encodeURIComponent(target)}`} title={target.slice(0, 300)}>
              {t("nodes.bulk.run")}
            </Link>
          )}
          {(["label", "unlabel", "join", "leave"] as const).map((wish) => (
            <Act key={wish} needs="node.write" onClick={() => (setTold(null), setAsked({ wish, nodes }))}>
              {t(`nodes.bulk.${wish}`)}
            </Act>
          ))}
          <span className="grow" />
          <button className="plain" onClick={() => onSelect([])}>
            {t("nodes.bulk.clear")}
          </button>
        </div>
      )}
      {target === null && nodes.length > 0 && <p className="small muted">{t("nodes.bulk.too_long", { most: SELECTOR_MAX })}</p>}
      {told && <Outcome {...told} onSelect={onSelect} onClose={() => setTold(null)} />}
      {/* The nodes of the moment it was opened: those are what is confirmed by their count. */}
      {asked && <ChangeForm {...asked} busy={change.isPending} onSend={(what) => send(what, asked.nodes)} onClose={() => setAsked(null)} />}
    </section>
  );
}
