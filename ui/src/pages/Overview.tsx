// The first look: the fleet as a picture, what runs, what failed, what was changed.
import { useTranslation } from "react-i18next";
import { Link, useNavigate } from "react-router";
import type { JobView } from "../api/types";
import { useRecentAudit } from "../data/audit";
import { useJobs, useLastStates } from "../data/jobs";
import { useLiveNodes, useNodes } from "../data/nodes";
import { useRollouts } from "../data/rollouts";
import { useMay } from "../data/session";
import { Asked } from "../kit/asked";
import { useAddress } from "../kit/address";
import { CountsBar, State } from "../kit/states";
import { useNow, When } from "../kit/when";
import { Fleet, useGrouping } from "../pictures/Fleet";
import { Day } from "./overview/Day";
import { FirstNode } from "./overview/FirstNode";

const SHOWN = 6;
/** What changes something; not coming and going. */
const CHANGES = /^(?!GET |POST \/(login|refresh|logout|login-codes)$)/;
const HOUR_MS = 3_600_000;

export function Overview() {
  const { t } = useTranslation();
  const live = useLiveNodes();
  const nodes = useNodes("");
  return (
    <>
      <div className="head">
        <h1>{t("place.overview")}</h1>
        <span className={live ? "live" : "live off"}>{live ? t("kit.live") : t("kit.reconnecting")}</span>
      </div>
      <Asked query={nodes}>
        {(found) => (
          <>
            {/* Enrolled is not started: how to begin stays until somebody was there. */}
            {found.every((node) => node.presence === "unknown") && <FirstNode nodes={found} />}
            {found.length > 0 && (
              <>
                <Picture nodes={found} />
                <Day />
                <div className="columns wide">
                  <Jobs which="open" />
                  <Jobs which="failed" />
                  <Rollouts />
                  <Changes />
                </div>
              </>
            )}
          </>
        )}
      </Asked>
    </>
  );
}

function Picture({ nodes }: { nodes: NonNullable<ReturnType<typeof useNodes>["data"]> }) {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const [address, set] = useAddress({ group: "", colour: "presence" });
  const groups = useGrouping(nodes);
  const readable = useMay("exec.read");
  const results = useLastStates(readable && address.colour === "result");
  const count = (presence: string) => nodes.filter((node) => node.presence === presence).length;
  const down = nodes.filter((node) => node.presence === "online" && node.worker === "down").length;
  const running = nodes.reduce((sum, node) => sum + Number(node.vitals?.["running"] ?? 0), 0);
  // Each number is the length of the list it leads to, or of what stands in it.
  const figures: [string, number, string][] = [
    ["nodes", nodes.length, "/nodes"],
    ["online", count("online"), "/nodes?presence=online"],
    ["offline", count("offline"), "/nodes?presence=offline"],
    ["running", running, "/jobs?state=open"],
  ];
  if (count("unknown") > 0) figures.splice(3, 0, ["unknown", count("unknown"), "/nodes?presence=unknown"]);
  if (down > 0) figures.push(["worker_down", down, "/nodes?presence=worker_down"]);
  return (
    <section className="panel">
      <div className="figures">
        {figures.map(([name, count, to]) => (
          <Link key={name} to={to} className="figure" style={{ color: "inherit" }}>
            <b>{count}</b>
            <span>{t(`overview.${name}`)}</span>
          </Link>
        ))}
      </div>
      <Fleet
        results={readable ? results : undefined}
        nodes={nodes}
        group={address.group}
        colour={address.colour}
        groups={groups}
        onGroup={(group) => set({ group })}
        onColour={(colour) => set({ colour })}
        onOpen={(id) => void navigate(`/nodes/${encodeURIComponent(id)}`)}
      />
    </section>
  );
}

function Jobs({ which }: { which: "open" | "failed" }) {
  const { t } = useTranslation();
  const allowed = useMay("exec.read");
  const jobs = useJobs({ states: which });
  const rows: JobView[] = (jobs.data?.pages[0]?.data ?? []).slice(0, SHOWN);
  return (
    <section className="panel">
      <h2>
        <Link to={`/jobs?state=${which}`}>{t(`overview.jobs_${which}`)}</Link>
      </h2>
      {!allowed ? (
        <p className="muted">{t("kit.needs", { permission: "exec.read" })}</p>
      ) : rows.length === 0 ? (
        <p className="muted">{jobs.isPending ? t("kit.loading") : t(`overview.none_${which}`)}</p>
      ) : (
        <table className="fit">
          <tbody>
            {rows.map((job) => (
              <tr key={job.job}>
                <td className="cut">
                  <Link className="mono" to={`/jobs/${job.job}`}>
                    {job.name || job.command}
                  </Link>
                </td>
                <td style={{ minWidth: 90 }}>
                  <CountsBar counts={job.counts} />
                </td>
                <td className="right">
                  <When at={job.finished_at ?? job.created_at} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}

function Rollouts() {
  const { t } = useTranslation();
  const allowed = useMay("rollout.read");
  const rollouts = useRollouts(allowed);
  const rows = (rollouts.data ?? []).slice(0, SHOWN);
  return (
    <section className="panel">
      <h2>
        <Link to="/rollouts">{t("place.rollouts")}</Link>
      </h2>
      {rows.length === 0 ? (
        <p className="muted">{allowed ? t("overview.no_rollouts") : t("kit.needs", { permission: "rollout.read" })}</p>
      ) : (
        <table className="fit">
          <tbody>
            {rows.map((rollout) => (
              <tr key={rollout.rollout}>
                <td>
                  <State state={rollout.state} />
                </td>
                <td className="cut">
                  <Link to={`/rollouts/${rollout.rollout}`}>{rollout.name}</Link>
                </td>
                <td className="muted nowrap">{t("overview.stage", { at: rollout.stage, of: rollout.stages.length })}</td>
                <td className="right">
                  <When at={rollout.finished_at ?? rollout.created_at} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}

function Changes() {
  const { t } = useTranslation();
  const allowed = useMay("audit.read");
  const audit = useRecentAudit(allowed);
  const now = useNow(30_000);
  const rows = (audit.data ?? []).filter((entry) => entry.at && now - Date.parse(entry.at) < HOUR_MS && CHANGES.test(entry.action));
  return (
    <section className="panel">
      <h2>
        <Link to="/access/audit">{t("overview.changes")}</Link>
      </h2>
      {rows.length === 0 ? (
        <p className="muted">{allowed ? t("overview.no_changes") : t("kit.needs", { permission: "audit.read" })}</p>
      ) : (
        <table className="fit">
          <tbody>
            {rows.slice(0, SHOWN).map((entry) => (
              <tr key={entry.id}>
                <td className="cut">
                  <b>{entry.actor}</b> <span className="mono small" title={entry.target}>{entry.action}</span>
                </td>
                <td className="nowrap">{entry.outcome !== "ok" && <span className="muted">{t(`access.outcome.${entry.outcome}`, { defaultValue: entry.outcome })}</span>}</td>
                <td className="right">
                  <When at={entry.at} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}
