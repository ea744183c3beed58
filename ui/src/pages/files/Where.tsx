// Where the revisions of one artifact are now: nodes that have the same one at the same path stand together.
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import { usePlacements } from "../../data/files";
import { Trouble } from "../../kit/asked";
import { When } from "../../kit/when";
import { type Group, together } from "./where";

const NODES_SHOWN = 12;

export function Where({ path, newest }: { path: string; newest: number }) {
  const { t } = useTranslation();
  const found = usePlacements(path);
  if (found.error) return <Trouble error={found.error} />;
  const groups = together(found.data ?? []);
  return (
    <section className="stack" aria-label={t("files.where")}>
      <h2>{t("files.where")}</h2>
      {groups.length === 0 ? (
        <p className="muted">{found.isPending ? t("kit.loading") : t("files.nowhere")}</p>
      ) : (
        <div className="scroll">
          <table>
            <tbody>
              {groups.map((group) => (
                <Row key={`${group.revision} ${group.dest}`} group={group} newest={newest} />
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}

function Row({ group, newest }: { group: Group; newest: number }) {
  const { t } = useTranslation();
  const [all, setAll] = useState(false);
  const shown = all ? group.nodes : group.nodes.slice(0, NODES_SHOWN);
  const more = group.nodes.length - shown.length;
  return (
    <tr>
      <td className="nowrap">
        <b>{group.revision}</b> {group.revision < newest && <span className="note warn small">{t("files.behind")}</span>}
      </td>
      <td className="mono break" style={{ minWidth: "14ch" }}>
        {group.dest}
      </td>
      <td className="nowrap">{t("files.on_nodes", { count: group.nodes.length })}</td>
      <td>
        {shown.map((node) => (
          <Link key={node} className="nowrap" to={`/nodes/${encodeURIComponent(node)}`} style={{ marginRight: 8 }}>
            {node}
          </Link>
        ))}
        {more > 0 && (
          <button className="plain" onClick={() => setAll(true)}>
            {t("files.more_nodes", { count: more })}
          </button>
        )}
      </td>
      <td className="nowrap">
        <When at={group.newest} />
      </td>
    </tr>
  );
}
