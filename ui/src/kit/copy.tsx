import { useState } from "react";
import { useTranslation } from "react-i18next";

/** Copies a text, which may have to be asked for first; where the browser forbids it (plain http from afar) the text is selected to be copied by hand. */
export function Copy({ text, label }: { text: string | (() => Promise<string>); label?: string }) {
  const { t } = useTranslation();
  const [done, setDone] = useState(false);
  const copy = async () => {
    const wanted = typeof text === "string" ? text : await text();
    try {
      await navigator.clipboard.writeText(wanted);
      setDone(true);
      setTimeout(() => setDone(false), 1500);
    } catch {
      window.prompt(t("kit.copy"), wanted);
    }
  };
  return <button onClick={() => void copy()}>{done ? t("kit.copied") : (label ?? t("kit.copy"))}</button>;
}
