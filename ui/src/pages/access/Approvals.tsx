// What waits for a second person, and beside it (an address of its own) the rules that ask for one. A decision is about exactly this
// command on exactly these nodes (its hash is pinned).
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import { useApprovals, useDecide, type ApprovalView } from "../../data/approvals";
import { useMe } from "../../data/session";
import { Act } from "../../kit/Act";
import { Asked, Empty, Trouble } from "../../kit/asked";
import { useAddress } from "../../kit/address";
import { State } from "../../kit/states";
import { When } from "../../kit/when";
import { ApprovalRules } from "./ApprovalRules";

const VIEWS = ["requests", "rules"] as const;

export function Approvals() {
  const { t } = useTranslation();
  const [address, set] = useAddress({ show: "requests" });
  return (
    <>
      <div className="segments" role="group" aria-label={t("access.part.approvals")} style={{ marginBottom: 12 }}>
        {VIEWS.map((view) => (
          <button key={view} aria-pressed={address.show === view} onClick={() => set({ show: view })}>
            {t(`access.approval.${view}`)}
          </button>
        ))}
      </div>
      {address.show === "rules" ? <ApprovalRules /> : <Requests />}
    </>
  );
}

function Requests() {
  const { t } = useTranslation();
  const [address, set] = useAddress({ state: "pending" });
  const approvals = useApprovals(address.state);
  return (
    <>
      <div className="row" style={{ marginBottom: 12 }}>
        <select value={address.state} onChange={(event) => set({ state: event.target.value })} aria-label={t("rollouts.state")} data-filter="true">
          <option value="pending">{t("state.pending_approval")}</option>
          <option value="">{t("rollouts.any_state")}</option>
          {["approved", "denied", "withdrawn", "expired"].map((state) => (
            <option key={state} value={state}>
              {t(`state.${state}`)}
            </option>
          ))}
        </select>
      </div>
      <Asked query={approvals}>
        {(data) => {
          const rows = data.pages.flatMap((one) => one.data);
          if (rows.length === 0) {
            return (
              <div className="panel">
                <Empty title={t("access.no_approvals")}>{t("access.no_approvals_how")}</Empty>
              </div>
            );
          }
          return (
            <>
              {rows.map((one) => (
                <One key={one.approval} one={one} />
              ))}
              {approvals.hasNextPage && <button onClick={() => void approvals.fetchNextPage()}>{t("kit.more")}</button>}
            </>
          );
        }}
      </Asked>
    </>
  );
}

function One({ one }: { one: ApprovalView }) {
  const { t } = useTranslation();
  const me = useMe();
  const decide = useDecide();
  const [note, setNote] = useState("");
  const own = me.data?.name === one.asked_by ? t("access.own") : undefined;
  const say = (approve: boolean) => decide.mutate({ approval: one.approval, approve, note: note.trim() });
  return (
    <section className="panel stack">
      <div className="row">
        <State state={one.state === "pending" ? "pending_approval" : one.state} />
        <code className="grow break">{one.asked_for}</code>
        <Link to={`/jobs/${one.job}`}>{t("access.its_job")}</Link>
      </div>
      <p className="small muted">
        {t("access.asked", { name: one.asked_by, count: one.nodes })} · <When at={one.asked_at} /> · {one.why}
      </p>
      {one.state === "pending" ? (
        <div className="row">
          <input className="grow" value={note} onChange={(event) => setNote(event.target.value)} placeholder={t("access.note")} aria-label={t("access.note")} />
          <Act needs="approval.decide" not={own} className="primary" disabled={decide.isPending} onClick={() => say(true)}>
            {t("access.approve")}
          </Act>
          <Act needs="approval.decide" not={own} className="danger" disabled={decide.isPending} onClick={() => say(false)}>
            {t("access.deny")}
          </Act>
        </div>
      ) : (
        <p className="small">
          {one.decided_by} <When at={one.decided_at} /> {one.note}
        </p>
      )}
      {decide.error && <Trouble error={decide.error} />}
    </section>
  );
}
