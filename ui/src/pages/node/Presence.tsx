// When the node was there: the last day as a bar, and the newest changes in words.
import { useTranslation } from "react-i18next";
import type { StretchView } from "../../api/types";
import { usePresence } from "../../data/nodes";
import { Trouble } from "../../kit/asked";
import { State } from "../../kit/states";
import { When, duration, useNow } from "../../kit/when";
import { presenceSaid } from "../../text/said";
import { lastDay, lasted, stateOf, there } from "./presence";

const ROWS = 6;

export function Presence({ node }: { node: string }) {
  const { t, i18n } = useTranslation();
  const found = usePresence(node);
  const now = useNow(15_000);
  if (found.error) return <Trouble error={found.error} />;
  const stretches = found.data ?? [];
  const parts = lastDay(stretches, now);
  const share = new Intl.NumberFormat(i18n.language, { style: "percent", maximumFractionDigits: 1 }).format(there(parts));
  return (
    <section className="panel" aria-label={t("node.presence")}>
      <h2>
        {t("node.presence")} <span className="muted">{t("node.last_day", { share })}</span>
      </h2>
      {stretches.length === 0 ? (
        <p className="muted">{found.isPending ? t("kit.loading") : t("node.never_seen")}</p>
      ) : (
        <>
          <div className="bar" role="img" aria-label={t("node.last_day", { share })}>
            {parts.map((part) => (
              <span
                key={part.since}
                className={part.state === "unknown" ? "blank" : part.tone}
                style={{ width: `${100 * part.share}%` }}
                title={`${t(`state.${part.state}`)} · ${new Date(part.since).toLocaleString(i18n.language)}`}
              />
            ))}
          </div>
          <table className="fit">
            <tbody>
              {stretches.slice(0, ROWS).map((stretch) => (
                <Row key={stretch.since} stretch={stretch} now={now} />
              ))}
            </tbody>
          </table>
        </>
      )}
    </section>
  );
}

function Row({ stretch, now }: { stretch: StretchView; now: number }) {
  const { t } = useTranslation();
  const state = stateOf(stretch);
  return (
    <tr>
      <td>
        <State state={state} />
      </td>
      <td>
        <When at={stretch.since} />
      </td>
      <td className="nowrap">{t(stretch.until ? "node.lasted" : "node.so_far", { span: duration(lasted(stretch, now)) })}</td>
      <td className="cut">{presenceSaid(t, stretch.reason)}</td>
    </tr>
  );
}
