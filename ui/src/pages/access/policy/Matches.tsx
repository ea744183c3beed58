// What a rule matches, in few words; a long list of patterns opens on demand.
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { MATCH_KEYS } from "../../../text/rows";

const SHOWN = 10;

export function Matches({ match }: { match: Readonly<Record<string, readonly string[]>> }) {
  const { t } = useTranslation();
  const [open, setOpen] = useState(false);
  return (
    <>
      {MATCH_KEYS.filter((key) => match[key] !== undefined).map((key) => {
        const patterns = match[key] ?? [];
        const shown = open ? patterns : patterns.slice(0, SHOWN);
        return (
          <div key={key} className="match">
            <span className="small muted mono" title={t(`access.policy.match.${key}`)}>
              {key}
            </span>
            {shown.map((pattern, index) => (
              <span key={index} className="chip" title={pattern}>
                {pattern}
              </span>
            ))}
            {shown.length < patterns.length && (
              <button type="button" className="link small" onClick={() => setOpen(true)}>
                {t("access.policy.more", { count: patterns.length - shown.length })}
              </button>
            )}
          </div>
        );
      })}
    </>
  );
}
