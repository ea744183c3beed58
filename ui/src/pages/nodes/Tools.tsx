// Beside the list: which columns it has, and what is shown as a file. The file is made here, of what was loaded.
import { useEffect, useRef } from "react";
import { useTranslation } from "react-i18next";
import type { NodeView } from "../../api/types";
import { csv } from "../../text/csv";
import { type Column, COLUMNS } from "./columns";

export function ColumnMenu({ columns, onColumns }: { columns: readonly Column[]; onColumns: (names: string) => void }) {
  const { t } = useTranslation();
  const menu = useRef<HTMLDetailsElement>(null);
  useEffect(() => {
    const close = (event: PointerEvent) => {
      if (menu.current?.open && !menu.current.contains(event.target as Node)) menu.current.open = false;
    };
    document.addEventListener("pointerdown", close);
    return () => document.removeEventListener("pointerdown", close);
  }, []);
  const names = columns.map((column) => column.name);
  const turn = (name: string, on: boolean) => onColumns(COLUMNS.filter((one) => (one.name === name ? on : names.includes(one.name))).map((one) => one.name).join(","));
  return (
    <details
      ref={menu}
      className="menu"
      onKeyDown={(event) => {
        if (event.key !== "Escape" || !menu.current?.open) return;
        menu.current.open = false;
        menu.current.querySelector("summary")?.focus();
      }}
    >
      <summary className="button">{t("nodes.columns")}</summary>
      <fieldset className="panel stack">
        <legend className="hidden">{t("nodes.columns")}</legend>
        {COLUMNS.slice(1).map(({ name }) => (
          <label key={name} className="row">
            <input type="checkbox" checked={names.includes(name)} onChange={(event) => turn(name, event.target.checked)} />
            {t(`nodes.column.${name}`)}
          </label>
        ))}
      </fieldset>
    </details>
  );
}

/** The first bytes tell a spreadsheet that it is UTF-8. */
const UTF8 = "\uFEFF";

/** Columns are named as in the address, in every language: what reads such a file is as often a program. */
export function Export({ nodes, columns }: { nodes: readonly NodeView[]; columns: readonly Column[] }) {
  const { t } = useTranslation();
  const save = () => {
    const text = csv([columns.map((column) => column.name), ...nodes.map((node) => columns.map((column) => column.text(node)))]);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([UTF8, text], { type: "text/csv;charset=utf-8" }));
    link.download = "nodes.csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  };
  return (
    <button onClick={save} disabled={nodes.length === 0} title={t("nodes.export_what", { count: nodes.length })}>
      {t("nodes.export")}
    </button>
  );
}
