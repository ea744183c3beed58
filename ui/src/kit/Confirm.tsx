// Asks before what cannot be taken back. A word has to be typed when one is named, or the count of nodes when it is above the threshold.
import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { Trouble } from "./asked";
import { Modal } from "./Modal";

/** The CLI asks from here on too. */
export const THRESHOLD = 20;

interface Props {
  title: string;
  /** What follows from it. */
  children: ReactNode;
  open?: boolean;
  action?: string;
  /** How many nodes it concerns. */
  count?: number;
  /** To be typed whatever the count is. */
  typed?: string;
  danger?: boolean;
  busy?: boolean;
  error?: unknown;
  onYes: () => void;
  onClose: () => void;
}

export function Confirm({ title, children, open = true, action, count = 1, typed, danger = true, busy = false, error, onYes, onClose }: Props) {
  const { t } = useTranslation();
  const [given, setGiven] = useState("");
  const wanted = typed ?? (count > THRESHOLD ? String(count) : "");
  const ready = given.trim() === wanted && !busy;
  return (
    <Modal open={open} title={title} onClose={onClose}>
      <form
        className="stack"
        onSubmit={(event) => {
          event.preventDefault();
          if (ready) onYes();
        }}
      >
        {children}
        {wanted !== "" && (
          <label className="field">
            {typed === undefined ? t("kit.type_count", { count }) : t("kit.type_word", { word: typed })}
            <input className="mono" autoFocus value={given} onChange={(event) => setGiven(event.target.value)} autoComplete="off" spellCheck={false} />
          </label>
        )}
        {error !== null && error !== undefined && <Trouble error={error} />}
        <div className="row">
          <button type="submit" className={danger ? "danger" : "primary"} disabled={!ready} autoFocus={wanted === ""}>
            {action ?? title}
          </button>
          <button type="button" onClick={onClose}>
            {t("kit.back")}
          </button>
        </div>
      </form>
    </Modal>
  );
}
