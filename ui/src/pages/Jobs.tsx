// What ran: newest first, page by page, filters in the address.
import { useMemo } from "react";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import type { JobView } from "../api/types";
import { useJobs } from "../data/jobs";
import { useAddress } from "../kit/address";
import { Asked, Empty, Trouble } from "../kit/asked";
import { CountsBar, State } from "../kit/states";
import { duration, When } from "../kit/when";

const STATES = ["open", "succeeded", "failed", "cancelled"];

export function Jobs() {
  const { t } = useTranslation();
  const [address, set] = useAddress({ state: "", find: "" });
  const jobs = useJobs(address.state === "" ? {} : { states: address.state });
  const rows = useMemo(() => (jobs.data?.pages ?? []).flatMap((page) => page.data), [jobs.data]);
  const words = address.find.toLowerCase().split(/\s+/).filter(Boolean);
  const shown = rows.filter((job) => {
    const text = `${job.job} ${job.name} ${job.command} ${job.target} ${job.created_by} ${job.kind}`.toLowerCase();
    return words.every((word) => text.includes(word));
  });
  return (
    <>
      <div className="head">
        <h1>{t("jobs.title")}</h1>
        <div className="segments" role="group" aria-label={t("jobs.state")}>
          {["", ...STATES].map((state) => (
            <button key={state} aria-pressed={address.state === state} onClick={() => set({ state })}>
              {state === "" ? t("jobs.all") : t(`state.${state}`)}
            </button>
          ))}
        </div>
        <input type="search" className="grow" data-filter="true" value={address.find} placeholder={t("jobs.find")} aria-label={t("jobs.find")} onChange={(event) => set({ find: event.target.value })} />
        <Link className="button primary" to="/run">
          {t("jobs.new")}
        </Link>
      </div>
      {jobs.isError && jobs.data !== undefined && <Trouble error={jobs.error} />}
      <div className="panel">
        <Asked query={jobs}>
          {() =>
            shown.length === 0 ? (
              <Empty title={rows.length > 0 || address.state !== "" ? t("jobs.none_match") : t("jobs.none")}>
                <Link to="/run">{t("jobs.first")}</Link>
              </Empty>
            ) : (
              <JobTable jobs={shown} />
            )
          }
        </Asked>
        {jobs.hasNextPage && (
          <div className="row" style={{ marginTop: 10 }}>
            <button disabled={jobs.isFetchingNextPage} onClick={() => void jobs.fetchNextPage()}>
              {t("jobs.older")}
            </button>
            {words.length > 0 && <span className="muted small">{t("jobs.only_loaded", { count: rows.length })}</span>}
          </div>
        )}
      </div>
    </>
  );
}

export function JobTable({ jobs }: { jobs: readonly JobView[] }) {
  const { t } = useTranslation();
  return (
    <div className="scroll" tabIndex={0} role="region" aria-label={t("jobs.title")}>
      <table className="jobs">
        <thead>
          <tr>
            {["state", "command", "target", "nodes", "took", "by", "created"].map((name) => (
              <th key={name} scope="col">
                {t(`jobs.column.${name}`)}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {jobs.map((job) => (
            <tr key={job.job}>
              <td>
                <State state={job.state} />
              </td>
              <td className="cut">
                <Link className="mono" to={`/jobs/${job.job}`} title={job.command}>
                  {job.command || job.name || job.job}
                </Link>
                {job.name && <span className="muted small"> {job.name}</span>}
              </td>
              <td className="cut mono small" title={job.target}>
                {job.target}
              </td>
              <td>
                <div className="row nowrap">
                  <CountsBar counts={job.counts} />
                  <span className="small muted">{job.nodes}</span>
                </div>
              </td>
              <td className="nowrap small">{took(job)}</td>
              <td className="cut small">{job.created_by}</td>
              <td className="small">
                <When at={job.created_at} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function took(job: JobView): string {
  if (job.finished_at === null || job.created_at === null) return "";
  return duration(Math.max(0, Date.parse(job.finished_at) - Date.parse(job.created_at)) / 1000);
}
