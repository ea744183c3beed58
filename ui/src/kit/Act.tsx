// A button for something not everybody may do: shown disabled with the reason, never hidden.
import type { ButtonHTMLAttributes } from "react";
import { useTranslation } from "react-i18next";
import { useMay } from "../data/session";

interface Props extends ButtonHTMLAttributes<HTMLButtonElement> {
  needs: string;
  /** Another reason why it cannot be done now. */
  not?: string | undefined;
}

export function Act({ needs, not, disabled, children, ...rest }: Props) {
  const { t } = useTranslation();
  const allowed = useMay(needs);
  const why = allowed ? not : t("kit.needs", { permission: needs });
  return (
    <button {...rest} disabled={Boolean(disabled) || why !== undefined} title={why ?? rest.title}>
      {children}
    </button>
  );
}
