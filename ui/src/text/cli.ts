// The CLI command that does what the page does.
import type { JobView, SubmitBody } from "../api/types";
import { quoted } from "./words";

/** For a job that was not submitted from here: its line may be cut and has lost its line ends, so it is shown, not run again. */
export function commandLine(job: JobView): string {
  return `corral exec get ${job.job}`;
}

/** Where the Run page begins with the same; null when that cannot be said by an address. */
export function runAgain(job: JobView, body: SubmitBody | undefined): string | null {
  const line = body === undefined ? job.command : (body.shell ?? body.argv?.map(quoted).join(" "));
  const known = job.kind === "exec" && line !== undefined && line !== null && !line.includes("\n");
  if (!known || (body === undefined && (line.endsWith("…") || /^(sh|bash|python3|pwsh) script/.test(line)))) return null;
  return `/run?target=${encodeURIComponent(job.target)}&mode=${body?.argv ? "argv" : "shell"}&command=${encodeURIComponent(line)}`;
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
    const given = Object.entries(body.params ?? {}).map(([name, value]) => "-p " + quoted(`${name}=${typeof value === "string" ? value : JSON.stringify(value)}`));
    const connection = body.connection ? ["--connection", quoted(body.connection)] : [];
    return ["corral task run", body.kind, ...options, ...connection, ...given].join(" ");
  }
  if (body.script) return ["corral exec run", ...options, "--interpreter", body.interpreter ?? "sh", "--script", "FILE"].join(" ");
  if (body.shell) return ["corral exec run", ...options, "--shell --", quoted(body.shell)].join(" ");
  return ["corral exec run", ...options, "--", ...(body.argv ?? []).map(quoted)].join(" ");
}
