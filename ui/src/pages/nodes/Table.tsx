// The list as rows, of which only those in sight are drawn; each can be selected, a range with Shift.
import { useVirtualizer } from "@tanstack/react-virtual";
import { memo, useEffect, useRef } from "react";
import { useTranslation } from "react-i18next";
import type { NodeView } from "../../api/types";
import type { Column } from "./columns";

const ROW = 34;

interface Props {
  nodes: readonly NodeView[];
  columns: readonly Column[];
  chosen: ReadonlySet<string>;
  onToggle: (id: string, range: boolean) => void;
  onAll: (on: boolean) => void;
}

export function Table({ nodes, columns, chosen, onToggle, onAll }: Props) {
  const { t } = useTranslation();
  const box = useRef<HTMLDivElement>(null);
  const head = useRef<HTMLInputElement>(null);
  const rows = useVirtualizer({ count: nodes.length, getScrollElement: () => box.current, estimateSize: () => ROW, overscan: 12 });
  const shown = rows.getVirtualItems();
  const above = shown[0]?.start ?? 0;
  const below = rows.getTotalSize() - (shown.at(-1)?.end ?? 0);
  const all = chosen.size === nodes.length;
  const some = chosen.size > 0 && !all;
  useEffect(() => {
    if (head.current) head.current.indeterminate = some;
  }, [some]);
  return (
    <div className="panel" style={{ padding: "4px 16px" }}>
      <div ref={box} className="scroll rows" tabIndex={0} role="region" aria-label={t("nodes.title")}>
        <table aria-rowcount={nodes.length + 1}>
          <thead>
            <tr>
              <th className="pick">
                <label className="pick">
                  <input ref={head} type="checkbox" checked={all} onChange={(event) => onAll(event.target.checked)} aria-label={t("nodes.select_all", { count: nodes.length })} />
                </label>
              </th>
              {columns.map(({ name }) => (
                <th key={name} scope="col">
                  {t(`nodes.column.${name}`)}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {above > 0 && <tr aria-hidden="true" style={{ height: above }} />}
            {shown.map(({ index, key }) => {
              const node = nodes[index];
              return node && <Row key={key} node={node} at={index} columns={columns} chosen={chosen.has(node.id)} onToggle={onToggle} />;
            })}
            {below > 0 && <tr aria-hidden="true" style={{ height: below }} />}
          </tbody>
        </table>
      </div>
    </div>
  );
}

interface RowProps {
  node: NodeView;
  at: number;
  columns: readonly Column[];
  chosen: boolean;
  onToggle: (id: string, range: boolean) => void;
}

const Row = memo(function Row({ node, at, columns, chosen, onToggle }: RowProps) {
  const { t } = useTranslation();
  const range = useRef(false);
  return (
    <tr style={{ height: ROW }} className={chosen ? "chosen" : ""} aria-rowindex={at + 2}>
      <td className="pick">
        <label className="pick">
          <input
            type="checkbox"
            checked={chosen}
            // The change that follows does not say whether Shift was held, nor does the click that the blank key makes.
            onKeyDown={(event) => (range.current = event.shiftKey)}
            onClick={(event) => (range.current = event.detail > 0 ? event.shiftKey : range.current)}
            onChange={() => onToggle(node.id, range.current)}
            aria-label={t("nodes.select", { node: node.id })}
          />
        </label>
      </td>
      {columns.map((column) => (
        <td key={column.name} className={column.look}>
          {column.cell?.(node) ?? (column.text(node) || "–")}
        </td>
      ))}
    </tr>
  );
});
