// A unified diff, a line an element, coloured by its first character. The text is what somebody uploaded: text nodes only.
import { useTranslation } from "react-i18next";
import type { DiffView } from "../../data/files";
import { visible } from "../../text/sgr";

const LINES_SHOWN = 2_000;

export function Diff({ found }: { found: DiffView }) {
  const { t } = useTranslation();
  if (found.same) return <p className="muted">{t("files.same")}</p>;
  if (found.binary || found.text === "") return <p className="muted">{t("files.binary")}</p>;
  const lines = found.text.split("\n");
  return (
    <pre className="diff" tabIndex={0} aria-label={t("files.between", { old: found.old.revision, new: found.new.revision })}>
      {lines.slice(0, LINES_SHOWN).map((line, index) => (
        <div key={index} className={kind(line)}>
          {visible(line) || " "}
        </div>
      ))}
      {lines.length > LINES_SHOWN && <div className="muted">{t("files.longer", { count: lines.length - LINES_SHOWN })}</div>}
    </pre>
  );
}

function kind(line: string): string {
  if (line.startsWith("+++") || line.startsWith("---") || line.startsWith("@@")) return "about";
  return line.startsWith("+") ? "added" : line.startsWith("-") ? "gone" : "";
}
