// A row of output: what was written, or a note about what is not there.
import { useTranslation } from "react-i18next";
import type { Row } from "../text/output";
import type { Style } from "../text/sgr";
import { bytes } from "../kit/when";
import { Ansi } from "./Ansi";

export function RowText({ row, start, find = "" }: { row: Row; start: Style; find?: string }) {
  const { t } = useTranslation();
  if (row.stream === "note") {
    const [what, count] = row.text.split(":");
    return <span className="gap">{t(what === "missing" ? "live.gap_missing" : "live.gap_left_out", { size: bytes(Number(count)) })}</span>;
  }
  return <Ansi text={row.text} start={start} find={find} />;
}
