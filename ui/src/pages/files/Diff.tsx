// A diff, in one column or side by side, coloured by what a line is. The text is what somebody uploaded: text nodes only.
import { useMemo } from "react";
import { useTranslation } from "react-i18next";
import { contentAddress, type DiffView } from "../../data/files";
import { bytes } from "../../kit/when";
import { linesOf, sidesOf, type Line } from "../../text/diff";
import { visible } from "../../text/sgr";

const LINES_SHOWN = 2_000;

export function Diff({ found, beside }: { found: DiffView; beside: boolean }) {
  const { t } = useTranslation();
  const lines = useMemo(() => linesOf(found.text), [found.text]);
  const pairs = useMemo(() => (beside ? sidesOf(lines) : []), [lines, beside]);
  if (found.same) return <p className="muted">{t("files.same")}</p>;
  if (found.binary || found.text === "") return <Undrawn found={found} />;
  const more = (beside ? pairs : lines).length - LINES_SHOWN;
  return (
    <div className="diff" tabIndex={0} role="region" aria-label={t("files.between", { old: found.old.revision, new: found.new.revision })}>
      {beside ? (
        <table className="sides">
          <colgroup>
            <col className="number" />
            <col />
            <col className="number" />
            <col />
          </colgroup>
          <tbody>
            {pairs.slice(0, LINES_SHOWN).map(([left, right], index) =>
              left !== null && left === right && left.kind === "about" ? (
                <tr key={index}>
                  <td colSpan={4} className="about">
                    {visible(left.text)}
                  </td>
                </tr>
              ) : (
                <tr key={index}>
                  <Side line={left} number={left?.old ?? 0} />
                  <Side line={right} number={right?.new ?? 0} />
                </tr>
              ),
            )}
          </tbody>
        </table>
      ) : (
        <pre>
          {lines.slice(0, LINES_SHOWN).map((line, index) => (
            <div key={index} className={line.kind}>
              {visible(line.text) || " "}
            </div>
          ))}
        </pre>
      )}
      {more > 0 && (
        <p className="muted small">
          {t("files.longer", { count: more })} <Both found={found} />
        </p>
      )}
    </div>
  );
}

function Side({ line, number }: { line: Line | null; number: number }) {
  return (
    <>
      <td className="number">{number > 0 && number}</td>
      <td className={line?.kind ?? "blank"}>{line === null ? "" : visible(line.text.slice(1)) || " "}</td>
    </>
  );
}

/** What cannot be drawn as lines: how large it was and is, and both to be compared elsewhere. */
function Undrawn({ found }: { found: DiffView }) {
  const { t } = useTranslation();
  return (
    <p className="note">
      {t("files.binary")} {t("files.sizes", { old: bytes(found.old.size), new: bytes(found.new.size) })} <Both found={found} />
    </p>
  );
}

function Both({ found }: { found: DiffView }) {
  const { t } = useTranslation();
  return (
    <>
      {[found.old, found.new].map((one) => (
        <a key={one.revision} className="button plain" href={contentAddress(one)} download>
          {t("files.download_revision", { revision: one.revision })}
        </a>
      ))}
    </>
  );
}
