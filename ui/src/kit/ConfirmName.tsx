// Before one named thing goes for good: what follows from it, and its name typed by hand. For many nodes there is Confirm.
import { useState, type ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { Trouble } from "./asked";
import { Modal } from "./Modal";

interface Props {
  title: string;
  name: string;
  busy: boolean;
  error: unknown;
  onYes: () => void;
  onClose: () => void;
  children: ReactNode;
}

export function ConfirmName({ title, name, busy, error, onYes, onClose, children }: Props) {
  const { t } = useTranslation();
  const [text, setText] = useState("");
  return (
    <Modal open title={title} onClose={onClose}>
      <form
        className="stack"
        onSubmit={(event) => {
          event.preventDefault();
          if (text === name && !busy) onYes();
        }}
      >
        {children}
        <label className="field">
          {t("kit.type_it", { typed: name })}
          <input className="mono" value={text} onChange={(event) => setText(event.target.value)} autoFocus autoComplete="off" />
        </label>
        {error ? <Trouble error={error} /> : null}
        <div className="row">
          <button className="danger" disabled={text !== name || busy}>
            {title}
          </button>
          <button type="button" onClick={onClose}>
            {t("kit.back")}
          </button>
        </div>
      </form>
    </Modal>
  );
}
