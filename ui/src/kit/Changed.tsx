// What one meant to change was changed by somebody else meanwhile. Nothing was written, nothing typed is lost; one looks again and decides.
import { useTranslation } from "react-i18next";

interface Props {
  /** Whether something was typed that is still there. */
  typed?: boolean;
  onAgain: () => void;
  busy?: boolean;
}

export function Changed({ typed = false, onAgain, busy = false }: Props) {
  const { t } = useTranslation();
  return (
    <div className="note warn row" role="alert">
      <span className="grow">
        <strong>{t("kit.changed")}</strong> {t(typed ? "kit.changed_typed" : "kit.changed_nothing")}
      </span>
      <button type="button" onClick={onAgain} disabled={busy}>
        {t("kit.read_anew")}
      </button>
    </div>
  );
}
