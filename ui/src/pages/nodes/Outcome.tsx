// What came of a change of many nodes: how many have it, and for every other one why not, to be tried again.
import { useTranslation } from "react-i18next";
import { Problem } from "../../api/client";
import type { Changed } from "../../data/nodes";
import type { Change } from "./plan";

const NAMED = 200;

interface Props {
  change: Change;
  result: Changed;
  /** How many were so already. */
  same: number;
  onSelect: (ids: readonly string[]) => void;
  onClose: () => void;
}

export function Outcome({ change, result, same, onSelect, onClose }: Props) {
  const { t } = useTranslation();
  const left = result.left.flatMap(({ ids }) => ids);
  const what = change.what === "group" ? (change.into ? "join" : "leave") : change.value === null ? "unlabel" : "label";
  const name = change.what === "label" && change.value !== null ? `${change.name}=${change.value}` : change.name;
  return (
    <div className={`note ${left.length > 0 ? "bad" : "good"}`} role="status">
      <div className="row">
        <span className="grow break">
          {(result.done.length > 0 || left.length === 0) && t(`nodes.bulk.done_${what}`, { count: result.done.length, name })}
          {same > 0 && ` ${t("nodes.bulk.same", { count: same })}`}
          {left.length > 0 && <b> {t("nodes.bulk.left", { count: left.length })}</b>}
        </span>
        {left.length > 0 && <button onClick={() => onSelect(left)}>{t("nodes.bulk.select_left")}</button>}
        <button className="plain" onClick={onClose} aria-label={t("kit.close")}>
          ✕
        </button>
      </div>
      {result.left.map(({ ids, error }, index) => (
        <details key={index} open={result.left.length === 1}>
          <summary>
            {t("nodes.bulk.nodes", { count: ids.length })}: {error === null ? t("nodes.bulk.gone") : error instanceof Error ? error.message : String(error)}
            {error instanceof Problem && error.hint && <span className="muted"> {t("kit.hint", { hint: error.hint })}</span>}
          </summary>
          <p className="mono small break">
            {ids.slice(0, NAMED).join(", ")}
            {ids.length > NAMED && " …"}
          </p>
        </details>
      ))}
    </div>
  );
}
