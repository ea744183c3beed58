// What ran: newest first, page by page, filters in the address.
import { useMemo, useState } from "react";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import type { FoundView, JobView } from "../api/types";
import { type JobFilter, SPANS, useJobs, useOutputSearch } from "../data/jobs";
import { useAddress } from "../kit/address";
import { Asked, Empty, Trouble } from "../kit/asked";
import { SelectorField } from "../kit/selector";
import { CountsBar, State } from "../kit/states";
import { duration, When } from "../kit/when";

const STATES = ["open", "succeeded", "failed", "cancelled"];

export function Jobs() {
  const { t } = useTranslation();
  const [address, set] = useAddress({ state: "", find: "", on: "", by: "", back: "", output: "" });
  const filter: JobFilter = { states: address.state, on: address.on, by: address.by, back: address.back };
  const jobs = useJobs(filter);
  const [output, setOutput] = useState(address.output);
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
      <form
        className="filters"
        role="search"
        onSubmit={(event) => {
          event.preventDefault();
          set({ output: output.trim() });
        }}
      >
        <SelectorField value={address.on} onChange={(on) => set({ on })} error={jobs.error} label={t("jobs.on")} placeholder={t("jobs.on")} />
        <input value={address.by} placeholder={t("jobs.by")} aria-label={t("jobs.by")} onChange={(event) => set({ by: event.target.value.trim() })} />
        <select value={address.back} aria-label={t("jobs.back")} onChange={(event) => set({ back: event.target.value })}>
          {["", ...Object.keys(SPANS)].map((back) => (
            <option key={back} value={back}>
              {t(`jobs.span.${back || "any"}`)}
            </option>
          ))}
        </select>
        <input type="search" className="grow" value={output} maxLength={200} placeholder={t("jobs.output")} aria-label={t("jobs.output")} onChange={(event) => setOutput(event.target.value)} />
        <button type="submit" disabled={output.trim() === address.output}>
          {t("jobs.search")}
        </button>
      </form>
      {address.output !== "" && (
        <Printed
          text={address.output}
          filter={filter}
          onClose={() => {
            setOutput("");
            set({ output: "" });
          }}
        />
      )}
      {jobs.isError && jobs.data !== undefined && <Trouble error={jobs.error} />}
      <div className="panel">
        <Asked query={jobs}>
          {() =>
            shown.length === 0 ? (
              <Empty title={rows.length > 0 || Object.values(filter).some(Boolean) ? t("jobs.none_match") : t("jobs.none")}>
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

/** Jobs that printed a text: found while one reads on, a look of the server at a time. */
function Printed({ text, filter, onClose }: { text: string; filter: JobFilter; onClose: () => void }) {
  const { t } = useTranslation();
  const search = useOutputSearch(text, filter);
  const found = (search.data?.pages ?? []).flatMap((page) => page.data);
  return (
    <section className="panel" aria-label={t("jobs.printed", { text })}>
      <div className="row">
        <strong>{t("jobs.printed", { text })}</strong>
        <button className="plain" onClick={onClose}>
          {t("jobs.close")}
        </button>
      </div>
      {search.isError && <Trouble error={search.error} again={() => void search.refetch()} />}
      {found.map((one) => (
        <FoundJob key={one.job.job} found={one} />
      ))}
      <div className="row" role="status">
        {search.isFetching ? (
          <span className="muted">{t("jobs.searching")}</span>
        ) : search.hasNextPage ? (
          <button onClick={() => void search.fetchNextPage()}>{t("jobs.search_on")}</button>
        ) : (
          <span className="muted">{t("jobs.searched", { count: found.length })}</span>
        )}
      </div>
    </section>
  );
}

function FoundJob({ found }: { found: FoundView }) {
  const { t } = useTranslation();
  return (
    <div className="found">
      <div className="row">
        <State state={found.job.state} />
        <Link className="mono" to={`/jobs/${found.job.job}`}>
          {found.job.command || found.job.name || found.job.job}
        </Link>
        <span className="muted small">
          <When at={found.job.created_at} />
        </span>
      </div>
      {found.hits.map((hit, number) => (
        <div key={number} className="row small">
          <span className="muted">{hit.node}</span>
          <code className="cut">{printable(hit.line)}</code>
        </div>
      ))}
      {found.more && <div className="muted small">{t("jobs.more_hits")}</div>}
    </div>
  );
}

/** A line as plain text: colours and other control sequences taken out. */
function printable(line: string): string {
  // eslint-disable-next-line no-control-regex
  return line.replace(/\u001b\[[0-9;?]*[ -/]*[@-~]/g, "").replace(/[\u0000-\u0008\u000b-\u001f\u007f]/g, "�");
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
