// Why a task is where it is, in the server's sentences, and what became of a cancel.
import { useTranslation } from "react-i18next";
import type { TaskView } from "../api/types";
import { useWhy } from "../data/jobs";

export function Why({ job, task }: { job: string; task: TaskView }) {
  const { t } = useTranslation();
  const why = useWhy(job, task.node, `${task.state}.${task.attempt}`);
  const receipt = Object.entries(task.cancel);
  const result = Object.entries(task.result);
  return (
    <div className="stack small">
      {why.data && why.data.lines.length > 0 && (
        <details open={task.state !== "succeeded" && task.state !== "running"}>
          <summary>{t("live.why")}</summary>
          <ul>
            {why.data.lines.map((line, index) => (
              <li key={index}>{line}</li>
            ))}
          </ul>
        </details>
      )}
      {receipt.length > 0 && <Facts title={t("live.receipt")} rows={receipt} />}
      {result.length > 0 && <Facts title={t("live.result")} rows={result} />}
    </div>
  );
}

function Facts({ title, rows }: { title: string; rows: [string, unknown][] }) {
  return (
    <details>
      <summary>{title}</summary>
      <dl className="facts">
        {rows.map(([name, value]) => (
          <div key={name} className="pair">
            <dt>{name}</dt>
            <dd className="mono">{typeof value === "string" ? value : JSON.stringify(value)}</dd>
          </div>
        ))}
      </dl>
    </details>
  );
}
