// What ran on a node, the newest first.
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import { useNodeTasks } from "../../data/jobs";
import { useMay } from "../../data/session";
import { Asked } from "../../kit/asked";
import { State } from "../../kit/states";
import { When } from "../../kit/when";

export function Tasks({ node }: { node: string }) {
  const { t } = useTranslation();
  const readable = useMay("exec.read");
  const tasks = useNodeTasks(node, readable);
  return (
    <section className="panel">
      <h2>{t("node.tasks")}</h2>
      {!readable ? (
        <p className="muted">{t("kit.needs", { permission: "exec.read" })}</p>
      ) : (
        <Asked query={tasks}>
          {(data) => {
            const rows = data.pages.flatMap((one) => one.data);
            if (rows.length === 0) return <p className="muted">{t("node.no_tasks")}</p>;
            return (
              <div className="scroll">
                <table className="fit">
                  <tbody>
                    {rows.map(({ job, task }) => (
                      <tr key={job.job}>
                        <td>
                          <State state={task.state} />
                        </td>
                        <td className="cut mono" style={{ minWidth: 120 }}>
                          <Link to={`/jobs/${job.job}?node=${encodeURIComponent(node)}`}>{job.name || job.command}</Link>
                        </td>
                        <td className="muted nowrap">{task.exit_code === null ? "" : t("node.exit", { code: task.exit_code })}</td>
                        <td>
                          <When at={task.finished_at ?? task.started_at ?? task.queued_at} />
                        </td>
                        <td className="muted">{job.created_by}</td>
                      </tr>
                    ))}
                  </tbody>
                </table>
                {tasks.hasNextPage && (
                  <button onClick={() => void tasks.fetchNextPage()} disabled={tasks.isFetchingNextPage} style={{ margin: "10px 0" }}>
                    {t("kit.more")}
                  </button>
                )}
              </div>
            );
          }}
        </Asked>
      )}
    </section>
  );
}
