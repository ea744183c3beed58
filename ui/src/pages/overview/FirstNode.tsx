// No node was ever there: what brings the first, step by step, ready to copy. The page turns by itself when it comes.
import { useState } from "react";
import { useTranslation } from "react-i18next";
import type { NodeView } from "../../api/types";
import { useFirstToken } from "../../data/nodes";
import { useMay } from "../../data/session";
import { Loading, Trouble } from "../../kit/asked";
import { Copy } from "../../kit/copy";
import { BUNDLE, carry, enrol, START, type Way } from "./joining";

const LOCAL = /^https?:\/\/(localhost|127\.|\[::1\])/;

/** `nodes`: those that enrolled and never came. */
export function FirstNode({ nodes }: { nodes: readonly NodeView[] }) {
  const { t } = useTranslation();
  const mayMake = useMay("token.write");
  const token = useFirstToken(mayMake);
  const [way, setWay] = useState<Way>("systemd");
  const made = token.data;
  const server = made?.server_url || window.location.origin;
  const local = LOCAL.test(server);
  const enrolled = nodes.map((node) => node.id).join(", ");
  return (
    <section className="panel stack" style={{ maxWidth: 860 }}>
      <h2>{enrolled ? t("overview.enrolled", { nodes: enrolled, count: nodes.length }) : t("overview.empty")}</h2>
      <p>{enrolled ? t("overview.enrolled_how") : t("overview.empty_how")}</p>
      {made && local && <p className="note warn">{t("overview.local")}</p>}
      {(made || enrolled) && (
        <div className="segments" role="group" aria-label={t("overview.way.title")}>
          {(["systemd", "bare"] as const).map((name) => (
            <button key={name} aria-pressed={way === name} onClick={() => setWay(name)}>
              {t(`overview.way.${name}`)}
            </button>
          ))}
        </div>
      )}
      {(made || enrolled) && (
        <ol className="steps">
          {made && (
            <>
              <Step about={t("overview.step.bundle")} lines={[BUNDLE, carry(local)]} />
              <Step about={t("overview.step.enrol")} lines={[enrol(server, made.token ?? "", way)]} />
            </>
          )}
          <Step about={t(`overview.step.start_${way}`)} lines={START[way]} />
        </ol>
      )}
      {made && <p className="muted small">{t("overview.token", { uses: made.uses_left })}</p>}
      {!made && mayMake && !token.error && <Loading lines={2} />}
      {!mayMake && <p className="muted">{t("kit.needs", { permission: "token.write" })}</p>}
      {token.error && <Trouble error={token.error} again={() => void token.refetch()} />}
      <p className="live off" role="status">
        {enrolled ? t("overview.waiting_start") : t("overview.waiting")}
      </p>
    </section>
  );
}

function Step({ about, lines }: { about: string; lines: readonly string[] }) {
  return (
    <li>
      <p>{about}</p>
      {lines.map((line) => (
        <div key={line} className="row">
          <code className="note grow break">{line}</code>
          <Copy text={line} />
        </div>
      ))}
    </li>
  );
}
