// One artifact: its revisions, two of them compared, one brought to nodes.
import { useState } from "react";
import { useTranslation } from "react-i18next";
import type { RevisionView } from "../../api/types";
import { contentAddress, useDifference, useRevisions } from "../../data/files";
import { Asked, Trouble } from "../../kit/asked";
import { When, bytes } from "../../kit/when";
import { Apply } from "./Apply";
import { Diff } from "./Diff";
import { Where } from "./Where";

export function Artifact({ path }: { path: string }) {
  const { t } = useTranslation();
  const revisions = useRevisions(path);
  const [compared, setCompared] = useState<[number, number]>([0, 0]);
  const [applying, setApplying] = useState<RevisionView | null>(null);
  const difference = useDifference(path, compared[0], compared[1]);
  return (
    <section className="panel stack">
      <h2 className="mono break">{path}</h2>
      <Asked query={revisions}>
        {(data) => {
          const rows = data.pages.flatMap((one) => one.data);
          return (
            <table>
              <tbody>
                {rows.map((one, index) => {
                  const before = rows[index + 1];
                  return (
                    <tr key={one.revision}>
                      <td>
                        <b>{one.revision}</b>
                      </td>
                      <td className="mono small" title={one.digest}>
                        {one.digest.slice(0, 12)}
                      </td>
                      <td className="nowrap">{bytes(one.size)}</td>
                      <td>
                        <When at={one.created_at} /> <span className="muted">{one.created_by}</span>
                        {one.missing && <span className="note warn small">{t("files.missing")}</span>}
                      </td>
                      <td className="right nowrap">
                        {before && (
                          <button
                            className="plain"
                            aria-pressed={compared[1] === one.revision}
                            onClick={() => setCompared(compared[1] === one.revision ? [0, 0] : [before.revision, one.revision])}
                          >
                            {t("files.diff")}
                          </button>
                        )}
                        <a className="button plain" href={contentAddress(one)} download>
                          {t("files.download")}
                        </a>
                        <button onClick={() => setApplying(one)}>{t("files.apply")}</button>
                      </td>
                    </tr>
                  );
                })}
              </tbody>
            </table>
          );
        }}
      </Asked>
      {compared[1] > 0 && (difference.error ? <Trouble error={difference.error} /> : difference.data && <Diff found={difference.data} />)}
      {applying && <Apply key={applying.revision} revision={applying} onClose={() => setApplying(null)} />}
      <Where path={path} newest={revisions.data?.pages[0]?.data[0]?.revision ?? 0} />
    </section>
  );
}
