// Rows of a key and a text, added and taken away by hand. `keys` closed: each once, chosen from a list; else they are proposals.
import { useId } from "react";
import { useTranslation } from "react-i18next";
import type { Row, RowTrouble } from "../text/rows";

interface Props {
  legend: string;
  rows: readonly Row[];
  onChange: (rows: Row[]) => void;
  keys: readonly string[];
  closed?: boolean;
  /** What a key means, below its row. */
  aboutOf?: (key: string) => string;
  wrong: readonly RowTrouble[];
  /** What the server says of the whole. */
  said?: string;
}

/** About as many characters as a row shows in one line. */
const LINE = 60;

export function Rows({ legend, rows, onChange, keys, closed = false, aboutOf, wrong, said = "" }: Props) {
  const { t } = useTranslation();
  const list = useId();
  const free = keys.filter((key) => !rows.some((row) => row.key === key));
  const set = (index: number, next: Partial<Row>) => onChange(rows.map((row, at) => (at === index ? { ...row, ...next } : row)));
  return (
    <fieldset className="rows">
      <legend>{legend}</legend>
      {rows.map((row, index) => {
        const why = wrong[index] ?? "";
        return (
          <div key={index} className="entry">
            {closed ? (
              <select value={row.key} onChange={(event) => set(index, { key: event.target.value })} aria-label={t("kit.row_key")}>
                {keys
                  .filter((key) => key === row.key || free.includes(key))
                  .map((key) => (
                    <option key={key}>{key}</option>
                  ))}
              </select>
            ) : (
              <input className="mono" value={row.key} list={list} onChange={(event) => set(index, { key: event.target.value })} aria-label={t("kit.row_key")} aria-invalid={why === "no_key" || why === "twice"} autoComplete="off" spellCheck={false} />
            )}
            <textarea
              className="mono"
              rows={Math.min(6, row.text.split("\n").reduce((sum, line) => sum + 1 + Math.floor(line.length / LINE), 0))}
              value={row.text}
              onChange={(event) => set(index, { text: event.target.value })}
              aria-label={row.key || t("kit.row_text")}
              aria-invalid={why !== "" && why !== "no_key"}
              spellCheck={false}
            />
            <button type="button" className="plain" onClick={() => onChange(rows.filter((_, at) => at !== index))} disabled={closed && rows.length === 1} aria-label={t("kit.row_remove", { key: row.key || String(index + 1) })}>
              ✕
            </button>
            {why !== "" ? <span className="small ink-bad">{t(`kit.row_wrong.${why}`)}</span> : aboutOf && <span className="small muted">{aboutOf(row.key)}</span>}
          </div>
        );
      })}
      {said && (
        <span className="small ink-bad break" role="alert">
          {said}
        </span>
      )}
      {!closed && (
        <datalist id={list}>
          {free.map((key) => (
            <option key={key} value={key} />
          ))}
        </datalist>
      )}
      <div>
        <button type="button" className="plain" disabled={closed && free.length === 0} onClick={() => onChange([...rows, { key: closed ? (free[0] ?? "") : "", text: "" }])}>
          {t("kit.row_add")}
        </button>
      </div>
    </fieldset>
  );
}
