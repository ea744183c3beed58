// What every page shows while it waits, when there is nothing, when it went wrong, and when one may not look.
import type { ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { Problem } from "../api/client";

export function Loading({ lines = 4 }: { lines?: number }) {
  const { t } = useTranslation();
  return (
    <div role="status" aria-label={t("kit.loading")}>
      {Array.from({ length: lines }, (_, line) => (
        <div key={line} className="skeleton" style={{ width: `${88 - ((line * 17) % 45)}%` }} />
      ))}
    </div>
  );
}

export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <div className="empty">
      <strong>{title}</strong>
      {children}
    </div>
  );
}

export function Trouble({ error, again }: { error: unknown; again?: () => void }) {
  const { t } = useTranslation();
  if (error instanceof Problem && error.status === 403) {
    return (
      <div className="note warn" role="alert">
        <strong>{t("kit.denied")}</strong>
        <div>{error.message}</div>
        {error.hint && <div className="muted">{error.hint}</div>}
      </div>
    );
  }
  const problem = error instanceof Problem ? error : null;
  return (
    <div className="note bad" role="alert">
      <div>{error instanceof Error ? error.message : String(error)}</div>
      {problem?.hint && <div>{problem.hint}</div>}
      {problem?.requestId && <div className="muted small mono">{t("kit.request", { id: problem.requestId })}</div>}
      {again && (
        <button className="plain" onClick={again}>
          {t("kit.again")}
        </button>
      )}
    </div>
  );
}

/** The parts of a query, and the page once there is data. */
export function Asked<T>({ query, children }: { query: Answer<T>; children: (data: T) => ReactNode }) {
  if (query.data !== undefined) return <>{children(query.data)}</>;
  if (query.error) return <Trouble error={query.error} again={() => void query.refetch()} />;
  return <Loading />;
}

interface Answer<T> {
  data: T | undefined;
  error: unknown;
  refetch: () => unknown;
}
