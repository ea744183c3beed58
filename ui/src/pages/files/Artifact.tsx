// One artifact: its revisions, two of them compared, any of them brought to nodes, so also an older one again.
import { useState } from "react";
import { useTranslation } from "react-i18next";
import type { RevisionView } from "../../api/types";
import { contentAddress, useDifference, usePlacements, useRevisions } from "../../data/files";
import { Act } from "../../kit/Act";
import { useAddress } from "../../kit/address";
import { Asked, Loading, Trouble } from "../../kit/asked";
import { When, bytes } from "../../kit/when";
import { Apply } from "./Apply";
import { Diff } from "./Diff";
import { Where } from "./Where";
import { placesOf } from "./where";

export function Artifact({ path }: { path: string }) {
  const { t } = useTranslation();
  const revisions = useRevisions(path);
  const placements = usePlacements(path);
  const [address, set] = useAddress({ from: "", to: "", diff: "" });
  const [applying, setApplying] = useState<RevisionView | null>(null);
  const [from, to] = [Number(address.from) || 0, Number(address.to) || 0];
  const difference = useDifference(path, from, to);
  const newest = revisions.data?.pages[0]?.data[0]?.revision ?? 0;
  const beside = address.diff === "beside";
  return (
    <section className="panel stack">
      <h2 className="mono break">{path}</h2>
      <Asked query={revisions}>
        {(data) => {
          const rows = data.pages.flatMap((one) => one.data);
          return (
            <>
              <div className="scroll">
                <table>
                  <tbody>
                    {rows.map((one, index) => {
                      const before = rows[index + 1];
                      const compared = to === one.revision;
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
                                aria-pressed={compared}
                                onClick={() => set(compared ? { from: "", to: "" } : { from: String(before.revision), to: String(one.revision) })}
                              >
                                {t("files.diff")}
                              </button>
                            )}
                            <a className="button plain" href={contentAddress(one)} download>
                              {t("files.download")}
                            </a>
                            <Act needs="file.apply" not={one.missing ? t("files.missing") : undefined} onClick={() => setApplying(one)}>
                              {t("files.apply_this")}
                            </Act>
                          </td>
                        </tr>
                      );
                    })}
                  </tbody>
                </table>
              </div>
              {revisions.hasNextPage && <button onClick={() => void revisions.fetchNextPage()}>{t("kit.more")}</button>}
              {from > 0 && to > 0 && (
                <section className="stack" aria-label={t("files.diff")}>
                  <div className="row">
                    <RevisionField label={t("files.from")} rows={rows} value={from} onPick={(revision) => set({ from: revision })} />
                    <RevisionField label={t("files.to")} rows={rows} value={to} onPick={(revision) => set({ to: revision })} />
                    <button aria-pressed={beside} onClick={() => set({ diff: beside ? "" : "beside" })}>
                      {t("files.beside")}
                    </button>
                  </div>
                  {difference.error ? <Trouble error={difference.error} /> : difference.data ? <Diff found={difference.data} beside={beside} /> : <Loading />}
                </section>
              )}
            </>
          );
        }}
      </Asked>
      {applying && !placements.isPending && (
        <Apply key={applying.revision} revision={applying} older={applying.revision < newest} places={placesOf(placements.data ?? [])} onClose={() => setApplying(null)} />
      )}
      <Where path={path} newest={newest} />
    </section>
  );
}

interface FieldProps {
  label: string;
  rows: readonly RevisionView[];
  value: number;
  onPick: (revision: string) => void;
}

function RevisionField({ label, rows, value, onPick }: FieldProps) {
  return (
    <label className="row small muted">
      {label}
      <select value={value} onChange={(event) => onPick(event.target.value)}>
        {!rows.some((one) => one.revision === value) && <option>{value}</option>}
        {rows.map((one) => (
          <option key={one.revision}>{one.revision}</option>
        ))}
      </select>
    </label>
  );
}
