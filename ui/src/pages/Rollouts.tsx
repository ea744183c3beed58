// All rollouts, newest first: each a row of its stages as bars, so that one sees how far it is and where it stuck.
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import type { RolloutJson } from "../api/types";
import { useRolloutPages } from "../data/rollouts";
import { Act } from "../kit/Act";
import { Asked, Empty } from "../kit/asked";
import { useAddress } from "../kit/address";
import { State } from "../kit/states";
import { When } from "../kit/when";
import { NewRollout } from "./rollouts/NewRollout";

const STATES = ["created", "running", "paused", "succeeded", "failed", "rolling_back", "rolled_back"];

export function Rollouts() {
  const { t } = useTranslation();
  const [address, set] = useAddress({ state: "" });
  const [making, setMaking] = useState(false);
  const pages = useRolloutPages(address.state);
  return (
    <>
      <div className="head">
        <h1>{t("place.rollouts")}</h1>
        <select value={address.state} onChange={(event) => set({ state: event.target.value })} aria-label={t("rollouts.state")} data-filter="true">
          <option value="">{t("rollouts.any_state")}</option>
          {STATES.map((state) => (
            <option key={state} value={state}>
              {t(`state.${state}`)}
            </option>
          ))}
        </select>
        <span className="grow" />
        <Act needs="rollout.write" className="primary" onClick={() => setMaking(true)}>
          {t("rollouts.new")}
        </Act>
      </div>
      {making && <NewRollout onClose={() => setMaking(false)} />}
      <Asked query={pages}>
        {(data) => {
          const rows = data.pages.flatMap((one) => one.data);
          if (rows.length === 0) {
            return (
              <div className="panel">
                <Empty title={t("rollouts.none")}>{t("rollouts.what")}</Empty>
              </div>
            );
          }
          return (
            <div className="panel scroll">
              <table>
                <thead>
                  <tr>
                    {["name", "state", "stages", "change", "nodes", "by", "when"].map((name) => (
                      <th key={name}>{t(`rollouts.column.${name}`)}</th>
                    ))}
                  </tr>
                </thead>
                <tbody>
                  {rows.map((rollout) => (
                    <tr key={rollout.rollout}>
                      <td className="cut">
                        <Link to={`/rollouts/${rollout.rollout}`}>{rollout.name}</Link>
                      </td>
                      <td>
                        <State state={rollout.state} />
                      </td>
                      <td style={{ minWidth: 160 }}>
                        <Steps rollout={rollout} />
                      </td>
                      <td className="cut mono">{rollout.change}</td>
                      <td>{rollout.nodes}</td>
                      <td className="cut">{rollout.created_by}</td>
                      <td>
                        <When at={rollout.created_at} />
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
              {pages.hasNextPage && (
                <button onClick={() => void pages.fetchNextPage()} disabled={pages.isFetchingNextPage} style={{ margin: "10px 0" }}>
                  {t("kit.more")}
                </button>
              )}
            </div>
          );
        }}
      </Asked>
    </>
  );
}

/** A box a stage, as wide as its share of the nodes. */
function Steps({ rollout }: { rollout: RolloutJson }) {
  const words = rollout.stages.map((stage) => `${stage.name}: ${stage.gate}`).join(", ");
  return (
    <div className="row" style={{ gap: 2, flexWrap: "nowrap" }} role="img" aria-label={words} title={words}>
      {rollout.stages.map((stage) => (
        <span key={stage.index} className={`step ${stageTone(rollout, stage)}`} style={{ flex: Math.max(1, Math.sqrt(stage.nodes.length)) }} />
      ))}
    </div>
  );
}

export function stageTone(rollout: RolloutJson, stage: RolloutJson["stages"][number]): string {
  if (stage.gate === "passed") return "good";
  if (stage.gate === "failed" || (stage.ended_at && stage.gate !== "passed" && rollout.state === "failed")) return "bad";
  if (!stage.started_at) return "idle";
  return rollout.state === "paused" ? "warn" : "busy";
}
