// What a state looks like: a tone and a letter, so that it is read without colours too.
import { useTranslation } from "react-i18next";

export type Tone = "good" | "bad" | "warn" | "busy" | "idle";

export const STATES: Record<string, { tone: Tone; letter: string }> = {
  online: { tone: "good", letter: "O" },
  offline: { tone: "bad", letter: "X" },
  worker_down: { tone: "warn", letter: "W" },
  unknown: { tone: "idle", letter: "?" },
  revoked: { tone: "warn", letter: "!" },
  queued: { tone: "idle", letter: "Q" },
  delivered: { tone: "idle", letter: "D" },
  running: { tone: "busy", letter: "R" },
  succeeded: { tone: "good", letter: "S" },
  failed: { tone: "bad", letter: "F" },
  timed_out: { tone: "bad", letter: "T" },
  cancelled: { tone: "warn", letter: "C" },
  rejected: { tone: "bad", letter: "J" },
  expired: { tone: "warn", letter: "E" },
  interrupted: { tone: "bad", letter: "I" },
  lost: { tone: "bad", letter: "L" },
  open: { tone: "busy", letter: "R" },
  waiting: { tone: "warn", letter: "W" },
  paused: { tone: "warn", letter: "P" },
  rolling_back: { tone: "warn", letter: "B" },
  rolled_back: { tone: "warn", letter: "B" },
  aborted: { tone: "bad", letter: "A" },
  active: { tone: "good", letter: "A" },
  invited: { tone: "warn", letter: "I" },
  disabled: { tone: "idle", letter: "D" },
  pending_approval: { tone: "warn", letter: "W" },
  approved: { tone: "good", letter: "Y" },
  denied: { tone: "bad", letter: "N" },
  withdrawn: { tone: "idle", letter: "W" },
  deny: { tone: "bad", letter: "N" },
  allow: { tone: "good", letter: "Y" },
  approval: { tone: "warn", letter: "W" },
  created: { tone: "idle", letter: "N" },
  pending: { tone: "idle", letter: "·" },
  gate_pending: { tone: "idle", letter: "·" },
  gate_checking: { tone: "busy", letter: "…" },
  gate_passed: { tone: "good", letter: "✓" },
  gate_failed: { tone: "bad", letter: "✕" },
  up: { tone: "good", letter: "U" },
  down: { tone: "bad", letter: "D" },
  free: { tone: "good", letter: "F" },
  calm: { tone: "good", letter: "C" },
  loaded: { tone: "warn", letter: "L" },
  overloaded: { tone: "bad", letter: "!" },
  no_result: { tone: "idle", letter: "–" },
  no_load: { tone: "idle", letter: "?" },
};

export function look(state: string): { tone: Tone; letter: string } {
  return STATES[state] ?? { tone: "idle", letter: (state[0] ?? "?").toUpperCase() };
}

export function State({ state, label }: { state: string; label?: string }) {
  const { t } = useTranslation();
  const { tone, letter } = look(state);
  return (
    <span className={`state ${tone}`}>
      <i aria-hidden="true">{letter}</i>
      {label ?? t(`state.${state}`, { defaultValue: state })}
    </span>
  );
}

const ORDER: readonly Tone[] = ["good", "busy", "idle", "warn", "bad"];

/** Counts per state as one bar. */
export function CountsBar({ counts }: { counts: Record<string, number> }) {
  const { t } = useTranslation();
  const total = Object.values(counts).reduce((sum, count) => sum + count, 0) || 1;
  const rows = Object.entries(counts).sort((a, b) => ORDER.indexOf(look(a[0]).tone) - ORDER.indexOf(look(b[0]).tone));
  const words = rows.map(([state, count]) => `${count} ${t(`state.${state}`, { defaultValue: state })}`).join(", ");
  return (
    <div className="bar" role="img" aria-label={words} title={words}>
      {rows.map(([state, count]) => (
        <span key={state} className={look(state).tone} style={{ width: `${(100 * count) / total}%` }} />
      ))}
    </div>
  );
}
