// Asks before what cannot be taken back; above the threshold the count of nodes has to be typed, as the CLI asks.
import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { Modal } from "./Modal";

export const THRESHOLD = 20;

interface Props {
  title: string;
  /** What follows from it. */
  children: ReactNode;
  action: string;
  /** How many nodes it concerns. */
  count: number;
  danger?: boolean;
  busy?: boolean;
  onYes: () => void;
  onClose: () => void;
}

export function Confirm({ title, children, action, count, danger = true, busy = false, onYes, onClose }: Props) {
  const { t } = useTranslation();
  const [typed, setTyped] = useState("");
  const asks = count > THRESHOLD;
  const ready = (!asks || typed.trim() === String(count)) && !busy;
  return (
    <Modal open title={title} onClose={onClose}>
      <form
        className="stack"
        onSubmit={(event) => {
          event.preventDefault();
          if (ready) onYes();
        }}
      >
        {children}
        {asks && (
          <label className="field">
            {t("kit.type_count", { count })}
            <input className="mono" autoFocus inputMode="numeric" value={typed} onChange={(event) => setTyped(event.target.value)} autoComplete="off" />
          </label>
        )}
        <div className="row">
          <button type="submit" className={danger ? "danger" : "primary"} disabled={!ready} autoFocus={!asks}>
            {action}
          </button>
          <button type="button" onClick={onClose}>
            {t("kit.back")}
          </button>
        </div>
      </form>
    </Modal>
  );
}
