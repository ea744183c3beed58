// An empty fleet: what it is, and the one command that ends it. The page turns by itself when the first node joins.
import { useTranslation } from "react-i18next";
import { useNewJoinToken } from "../../data/nodes";
import { Act } from "../../kit/Act";
import { Trouble } from "../../kit/asked";
import { Copy } from "../../kit/copy";

export function FirstNode() {
  const { t } = useTranslation();
  const token = useNewJoinToken();
  const made = token.data;
  const server = made?.server_url || window.location.origin;
  const command = made ? `corral agent enroll --server ${server} --token ${made.token ?? ""}` : "";
  return (
    <section className="panel stack" style={{ maxWidth: 760 }}>
      <h2>{t("overview.empty")}</h2>
      <p>{t("overview.empty_how")}</p>
      {made ? (
        <>
          <div className="row">
            <code className="note grow break">{command}</code>
            <Copy text={command} />
          </div>
          <p className="muted small">{t("overview.token", { uses: made.uses_left })}</p>
        </>
      ) : (
        <div className="row">
          <Act needs="token.write" className="primary" onClick={() => token.mutate()} disabled={token.isPending}>
            {t("overview.make_token")}
          </Act>
        </div>
      )}
      {token.error && <Trouble error={token.error} />}
      <p className="live off">{t("overview.waiting")}</p>
    </section>
  );
}
