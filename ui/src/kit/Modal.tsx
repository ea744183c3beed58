// The browser's own dialog: it keeps the focus inside and closes on Escape.
import { useEffect, useRef, type ReactNode } from "react";
import { useTranslation } from "react-i18next";

interface Props {
  open: boolean;
  onClose: () => void;
  title: string;
  children: ReactNode;
}

export function Modal({ open, onClose, title, children }: Props) {
  const { t } = useTranslation();
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const shown = dialog.current;
    if (open && !shown?.open) shown?.showModal();
    if (!open && shown?.open) shown.close();
  }, [open]);
  return (
    <dialog ref={dialog} onClose={onClose} aria-label={title}>
      {open && (
        <div className="stack">
          <div className="row">
            <h2 className="grow">{title}</h2>
            <button className="plain" onClick={onClose} aria-label={t("kit.close")}>
              ✕
            </button>
          </div>
          {children}
        </div>
      )}
    </dialog>
  );
}
