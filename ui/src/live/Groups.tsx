// Nodes that wrote the same, together: "34 nodes: …". Made anew while output comes; what failed stands first.
import { useMemo, useState } from "react";
import { useTranslation } from "react-i18next";
import type { TaskView } from "../api/types";
import { Empty } from "../kit/asked";
import { State } from "../kit/states";
import { grouped, type Group, type JobOutput } from "../text/output";
import { reasonSaid } from "../text/said";
import { PLAIN, startStyles } from "../text/sgr";
import { RowText } from "./RowText";

const NAMES = 8;
const ROWS = 24;
const SHOWN = 60;

interface Props {
  tasks: readonly TaskView[];
  output: JobOutput;
  version: number;
  onNode: (node: string) => void;
}

export function Groups({ tasks, output, version, onNode }: Props) {
  const { t } = useTranslation();
  const [most, setMost] = useState(SHOWN);
  // `version` stands for the content of `output`, which is changed in place.
  const groups = useMemo(() => grouped(tasks, output), [tasks, output, version]);
  if (tasks.length === 0) return <Empty title={t("live.no_tasks")} />;
  return (
    <div className="groups">
      {groups.slice(0, most).map((group) => (
        <GroupPart key={group.nodes[0]} group={group} version={group.output?.version ?? 0} onNode={onNode} />
      ))}
      {groups.length > most && (
        <button onClick={() => setMost(most + SHOWN)}>{t("live.more_groups", { count: groups.length - most })}</button>
      )}
    </div>
  );
}

function GroupPart({ group, version, onNode }: { group: Group; version: number; onNode: (node: string) => void }) {
  const { t } = useTranslation();
  const [all, setAll] = useState(false);
  const first = group.nodes[0] ?? "";
  const rows = useMemo(() => group.output?.rows.slice(-ROWS) ?? [], [group.output, version]);
  const starts = useMemo(() => startStyles(rows), [rows]);
  const code = group.code === null ? "" : t("live.exit", { code: group.code });
  const why = [code, group.detail || reasonSaid(t, group)].filter(Boolean).join(" · ");
  const hidden = (group.output?.rows.length ?? 0) + (group.output?.dropped ?? 0) - rows.length;
  return (
    <section className="group" aria-label={t("live.group", { count: group.nodes.length })}>
      <header>
        <State state={group.state} />
        <strong>{t("live.nodes", { count: group.nodes.length })}</strong>
        <span className="names">
          {(all ? group.nodes : group.nodes.slice(0, NAMES)).map((node) => (
            <button key={node} className="plain mono" onClick={() => onNode(node)} title={t("live.open_log", { node })}>
              {node}
            </button>
          ))}
          {!all && group.nodes.length > NAMES && (
            <button className="plain" onClick={() => setAll(true)}>
              {t("live.and_more", { count: group.nodes.length - NAMES })}
            </button>
          )}
        </span>
        {why !== "" && <span className="why">{why}</span>}
      </header>
      {rows.length > 0 && (
        <pre className="output" tabIndex={0} aria-label={t("live.output_of", { node: first })}>
          {hidden > 0 && (
            <button className="plain" onClick={() => onNode(first)}>
              {t("live.hidden_rows", { count: hidden })}
            </button>
          )}
          {rows.map((row, index) => (
            <span key={index} className={`row-${row.stream}`}>
              <RowText row={row} start={starts[index] ?? PLAIN} />
              {"\n"}
            </span>
          ))}
        </pre>
      )}
    </section>
  );
}
