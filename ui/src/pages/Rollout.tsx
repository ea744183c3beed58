// One rollout as lanes: a column a stage, its nodes as cells, the gate between it and the next. Steered from here.
import { useCallback, useMemo, useState } from "react";
import { useTranslation } from "react-i18next";
import { Link, useNavigate, useParams } from "react-router";
import type { RolloutJson, StageJson } from "../api/types";
import { useRollout, useRolloutWhy, useStageTasks, useSteer, type Verb } from "../data/rollouts";
import { Act } from "../kit/Act";
import { Asked, Trouble } from "../kit/asked";
import { Confirm } from "../kit/Confirm";
import { CountsBar, State } from "../kit/states";
import { When, duration } from "../kit/when";
import { Cells } from "../pictures/Cells";
import { stageSaid } from "../text/said";
import { stageTone } from "./Rollouts";
import { steering, VERBS } from "./rollouts/steering";

export function RolloutPage() {
  const { rollout = "" } = useParams();
  const { asked, live, again } = useRollout(rollout);
  return <Asked query={asked}>{(found) => <Detail rollout={found} live={live} again={again} />}</Asked>;
}

function Detail({ rollout, live, again }: { rollout: RolloutJson; live: boolean; again: () => void }) {
  const { t } = useTranslation();
  const steer = useSteer(rollout.rollout, again);
  const [sure, setSure] = useState<Verb | null>(null);
  const why = useRolloutWhy(rollout.rollout, rollout.resource_version);
  const touched = rollout.stages.filter((stage) => stage.started_at).reduce((sum, stage) => sum + stage.nodes.length, 0);
  const { primary, refused, failed } = steering(rollout);
  const gate = failed && { stage: `${failed.index} (${stageSaid(t, failed.name)})`, why: failed.why };
  const asks = (verb: Verb) => verb === "abort" || verb === "rollback" || (verb === "resume" && gate !== null);
  const act = (verb: Verb) => (asks(verb) ? setSure(verb) : steer.mutate(verb));
  const not = (verb: Verb) => {
    const why = refused[verb];
    return why && t(`rollouts.refused.${why}`, { state: t(`state.${rollout.state}`), ...gate });
  };
  return (
    <>
      <div className="head">
        <h1>{rollout.name}</h1>
        <State state={rollout.state} />
        {live && <span className="live">{t("kit.live")}</span>}
        <span className="grow" />
        {VERBS.map((verb) => (
          <Act
            key={verb}
            needs="rollout.write"
            not={not(verb)}
            disabled={steer.isPending}
            className={verb === primary ? "primary" : verb === "rollback" || verb === "abort" ? "danger" : ""}
            onClick={() => act(verb)}
          >
            {t(`rollouts.${verb}`)}
          </Act>
        ))}
      </div>
      {steer.error && <Trouble error={steer.error} />}
      {gate && rollout.state === "paused" && <p className="note warn panel">{t("rollouts.refused.gate_failed", gate)}</p>}
      <section className="panel">
        <p className="mono break">{rollout.change}</p>
        <p className="muted small">
          {t("rollouts.line", { target: rollout.target, count: rollout.nodes, strategy: rollout.strategy })} · {rollout.created_by} · <When at={rollout.created_at} />
          {rollout.previous && (
            <>
              {" · "}
              <Link to={`/rollouts/${rollout.previous}`}>{t("rollouts.previous")}</Link>
            </>
          )}
        </p>
        <ul className="plain">{(why.data ?? []).map((line) => <li key={line}>{line}</li>)}</ul>
      </section>
      <Lanes rollout={rollout} stages={rollout.stages} label={t("rollouts.forward")} />
      {rollout.rollback.length > 0 && (
        <>
          <h2 style={{ margin: "4px 0 8px" }}>{t("rollouts.back")}</h2>
          <Lanes rollout={rollout} stages={rollout.rollback} label={t("rollouts.back")} />
        </>
      )}
      <section className="panel">
        <dl className="facts">
          <dt>{t("rollouts.gates")}</dt>
          <dd className="mono">{rollout.gates.join(" · ") || t("rollouts.gate_default")}</dd>
          <dt>{t("rollouts.tolerance")}</dt>
          <dd>{t("rollouts.tolerates", { failed: rollout.max_failed, unreachable: rollout.max_unreachable })}</dd>
          <dt>{t("rollouts.on_failure")}</dt>
          <dd>{t(`rollouts.does_${rollout.on_failure}`)}</dd>
          <dt>{t("rollouts.going_on")}</dt>
          <dd>{rollout.auto_advance ? t("rollouts.by_itself", { wait: duration(rollout.advance_interval) }) : t("rollouts.by_hand")}</dd>
          <dt>{t("rollouts.deadline")}</dt>
          <dd>{duration(rollout.stage_deadline)}</dd>
        </dl>
      </section>
      {sure && (
        <Confirm
          title={t(`rollouts.${sure}`)}
          action={t(`rollouts.${sure}`)}
          count={sure === "resume" ? 1 : touched}
          danger={sure !== "resume"}
          busy={steer.isPending}
          onClose={() => setSure(null)}
          onYes={() => steer.mutate(sure, { onSettled: () => setSure(null) })}
        >
          {/* It may have passed meanwhile, by somebody else's hand: then there is nothing left to name. */}
          <p>{t(`rollouts.sure_${sure}`, { count: touched, stage: "", why: "", ...gate })}</p>
        </Confirm>
      )}
    </>
  );
}

function Lanes({ rollout, stages, label }: { rollout: RolloutJson; stages: readonly StageJson[]; label: string }) {
  return (
    <div className="lanes" role="list" aria-label={label} tabIndex={0}>
      {stages.map((stage) => (
        <Lane key={stage.index} rollout={rollout} stage={stage} />
      ))}
    </div>
  );
}

function Lane({ rollout, stage }: { rollout: RolloutJson; stage: StageJson }) {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const tasks = useStageTasks(stage.job, stage.ended_at !== null);
  const states = tasks.data;
  const stateOf = useCallback((id: string) => states?.get(id) ?? (stage.started_at ? "queued" : "pending"), [states, stage.started_at]);
  const groups = useMemo(() => [["", stage.nodes] as const], [stage.nodes]);
  const tone = stageTone(rollout, stage);
  return (
    <section className={`lane ${tone}`} role="listitem">
      <h2 className="row">
        <span className="grow break">
          {stage.index}. {stageSaid(t, stage.name)}
        </span>
        <span className="muted small">{t("rollouts.nodes", { count: stage.nodes.length })}</span>
      </h2>
      <Cells
        groups={groups}
        stateOf={stateOf}
        tip={(id) => `${id} · ${t(`state.${stateOf(id)}`)}`}
        onOpen={(id) => void navigate(stage.job ? `/jobs/${stage.job}?node=${encodeURIComponent(id)}` : `/nodes/${encodeURIComponent(id)}`)}
        label={t("rollouts.picture", { stage: stageSaid(t, stage.name), count: stage.nodes.length })}
      />
      {Object.keys(stage.counts).length > 0 && <CountsBar counts={stage.counts} />}
      <div className="gate">
        <State state={`gate_${stage.gate}`} label={t(`rollouts.gate.${stage.gate}`)} />
        {stage.why && <p className="small break">{stage.why}</p>}
        <p className="muted small">
          {stage.job && <Link to={`/jobs/${stage.job}`}>{t("rollouts.job")}</Link>} {stage.ended_at ? <When at={stage.ended_at} /> : stage.started_at ? <When at={stage.started_at} /> : null}
        </p>
      </div>
    </section>
  );
}
