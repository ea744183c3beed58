// The CLI command that does what the page does.
import type { JobView, SubmitBody } from "../api/types";
import { quoted } from "./words";

/** For a job: a shell line runs it again; what a line cannot hold (scripts, other kinds) is shown by its id. */
export function commandLine(job: JobView): string {
  if (job.kind !== "exec" || job.command.endsWith("…") || /^(sh|bash|python3|pwsh) script/.test(job.command)) return `corral exec get ${job.job}`;
  return `corral exec run -t ${quoted(job.target)} --shell -- ${quoted(job.command)}`;
}

/** For what is about to be submitted. */
export function submitLine(body: SubmitBody): string {
  const options: string[] = ["-t", quoted(body.target)];
  const numbers: [string, number | null | undefined, string][] = [
    ["--timeout", body.timeout, "s"],
    ["--concurrency", body.concurrency, ""],
    ["--expires", body.expires, "s"],
    ["--retry", body.retries, ""],
  ];
  for (const [name, value, unit] of numbers) if (value !== null && value !== undefined) options.push(name, `${value}${unit}`);
  if (body.offline) options.push("--offline", body.offline);
  if (body.user) options.push("--user", quoted(body.user));
  if (body.cwd) options.push("--cwd", quoted(body.cwd));
  if (body.kind && body.kind !== "exec") {
    const given = Object.entries(body.params ?? {}).map(([name, value]) => quoted(`${name}=${typeof value === "string" ? value : JSON.stringify(value)}`));
    const connection = body.connection ? ["--connection", quoted(body.connection)] : [];
    return ["corral task run", body.kind, ...options, ...connection, ...given].join(" ");
  }
  if (body.script) return ["corral exec run", ...options, "--interpreter", body.interpreter ?? "sh", "--script", "FILE"].join(" ");
  if (body.shell) return ["corral exec run", ...options, "--shell --", quoted(body.shell)].join(" ");
  return ["corral exec run", ...options, "--", ...(body.argv ?? []).map(quoted)].join(" ");
}
