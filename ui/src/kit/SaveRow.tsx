// The foot of a form that changes something stored: save, or go back.
import { useTranslation } from "react-i18next";
import { Act } from "./Act";

interface Props {
  needs: string;
  busy: boolean;
  /** Somebody else changed it meanwhile. */
  stale: boolean;
  /** Reading it anew makes it savable again; what is new has to get another name. */
  readable?: boolean;
  onBack: () => void;
}

export function SaveRow({ needs, busy, stale, readable = true, onBack }: Props) {
  const { t } = useTranslation();
  return (
    <div className="row">
      <Act needs={needs} className="primary" disabled={busy || stale} not={stale && readable ? t("kit.read_first") : undefined}>
        {t("kit.save")}
      </Act>
      <button type="button" onClick={onBack}>
        {t("kit.back")}
      </button>
    </div>
  );
}
