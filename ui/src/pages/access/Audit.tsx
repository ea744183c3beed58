// The record of what was done, with its filters in the address, and the server's proof that nobody changed it.
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import { useAudit, useVerify } from "../../data/access";
import { Asked } from "../../kit/asked";
import { useAddress } from "../../kit/address";
import { When } from "../../kit/when";

const FIELDS = ["actor", "action", "node"] as const;
/** Every word there is (server/application/audit/queries.py). */
const OUTCOMES = ["ok", "failed", "denied", "unauthenticated", "asked"];

export function Audit() {
  const { t } = useTranslation();
  const [address, set] = useAddress({ actor: "", action: "", outcome: "", node: "" });
  const [turn, setTurn] = useState(0);
  const proof = useVerify(turn);
  const entries = useAudit(address);
  return (
    <>
      <div className="row" style={{ marginBottom: 12 }}>
        {FIELDS.map((name, index) => (
          <input
            key={name}
            value={address[name]}
            onChange={(event) => set({ [name]: event.target.value })}
            placeholder={t(`access.audit.${name}`)}
            aria-label={t(`access.audit.${name}`)}
            {...(index === 0 ? { "data-filter": "true" } : {})}
          />
        ))}
        <select value={address.outcome} onChange={(event) => set({ outcome: event.target.value })} aria-label={t("access.audit.outcome")}>
          <option value="">{t("access.audit.any_outcome")}</option>
          {OUTCOMES.map((outcome) => (
            <option key={outcome} value={outcome}>
              {t(`access.outcome.${outcome}`)}
            </option>
          ))}
        </select>
        <span className="grow" />
        <button onClick={() => setTurn((before) => before + 1)} disabled={proof.running}>
          {proof.running ? t("access.audit.proving", { checked: proof.checked, total: proof.total }) : t("access.audit.prove")}
        </button>
        <a className="button" href="/api/v1/audit/export" download="audit.jsonl">
          {t("access.audit.export")}
        </a>
      </div>
      {proof.verdict && (
        <p className={proof.verdict["ok"] === true ? "note good panel" : "note bad panel"} role="status">
          {proof.verdict["ok"] === true
            ? t("access.audit.proven", { count: Number(proof.verdict["checked"]), unsealed: Number(proof.verdict["unsealed"]) })
            : t("access.audit.broken", { entry: String(proof.verdict["entry"] ?? proof.verdict["sequence"] ?? ""), why: String(proof.verdict["why"] ?? "") })}
        </p>
      )}
      <Asked query={entries}>
        {(data) => {
          const rows = data.pages.flatMap((one) => one.data);
          return (
            <section className="panel scroll">
              {rows.length === 0 && <p className="muted">{t("access.audit.none")}</p>}
              <table>
                <tbody>
                  {rows.map((entry) => (
                    <tr key={entry.id}>
                      <td className="muted mono">{entry.id}</td>
                      <td>
                        <When at={entry.at} />
                      </td>
                      <td className="cut">{entry.actor || "–"}</td>
                      <td className="mono small cut">{entry.action}</td>
                      <td className="cut small" title={entry.target}>
                        {entry.target.replace(/^\/api\/v1/, "")}
                      </td>
                      <td className={entry.outcome === "ok" ? "muted" : ""} title={entry.outcome}>
                        {t(`access.outcome.${entry.outcome}`, { defaultValue: entry.outcome })}
                      </td>
                      <td className="muted mono small">{entry.address}</td>
                      <td className="small">
                        {entry.job !== "" && (
                          <Link className="nowrap" to={`/jobs/${encodeURIComponent(entry.job)}?show=replay`}>
                            {t("replay.link")}
                          </Link>
                        )}
                        {Object.keys(entry.details).length > 0 && (
                          <details>
                            <summary className="muted">{t("access.audit.details")}</summary>
                            <pre className="break" style={{ whiteSpace: "pre-wrap", margin: 0 }}>
                              {JSON.stringify(entry.details, null, 1)}
                            </pre>
                          </details>
                        )}
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
              {entries.hasNextPage && (
                <button onClick={() => void entries.fetchNextPage()} disabled={entries.isFetchingNextPage} style={{ margin: "10px 0" }}>
                  {t("kit.more")}
                </button>
              )}
            </section>
          );
        }}
      </Asked>
    </>
  );
}
