// "hits 17 nodes: …" under the selector, while it is typed.
import { useTranslation } from "react-i18next";
import { Problem } from "../../api/client";
import type { Resolved } from "../../api/types";

const NAMED = 6;

export function Hits({ target, resolved, error }: { target: string; resolved: Resolved | undefined; error: unknown }) {
  const { t } = useTranslation();
  if (target.trim() === "") return <p className="small muted hits">{t("run.no_target")}</p>;
  if (error instanceof Problem && error.status !== 400) return <p className="small hits ink-bad" role="status">{error.message}</p>;
  if (resolved === undefined) return <p className="small muted hits">{"…"}</p>;
  const named = resolved.nodes.slice(0, NAMED).join(", ");
  const more = resolved.nodes.length > NAMED ? " …" : "";
  return (
    <p className="small hits" role="status">
      <strong>{t("run.hits", { count: resolved.nodes.length })}</strong> <span className="mono muted break">{named + more}</span>
      {resolved.offline.length > 0 && <span className="ink-warn"> {t("run.offline", { count: resolved.offline.length })}</span>}
      {resolved.unknown.length > 0 && <span className="ink-bad"> {t("run.unknown", { nodes: resolved.unknown.slice(0, NAMED).join(", ") })}</span>}
    </p>
  );
}
