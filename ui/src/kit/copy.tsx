import { useState } from "react";
import { useTranslation } from "react-i18next";

/** Copies a text; where the browser forbids it (plain http from afar) the text is selected to be copied by hand. */
export function Copy({ text, label }: { text: string; label?: string }) {
  const { t } = useTranslation();
  const [done, setDone] = useState(false);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setDone(true);
      setTimeout(() => setDone(false), 1500);
    } catch {
      window.prompt(t("kit.copy"), text);
    }
  };
  return <button onClick={() => void copy()}>{done ? t("kit.copied") : (label ?? t("kit.copy"))}</button>;
}
