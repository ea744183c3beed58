// The CLI command that does what the page does.
import type { SubmitBody, SubmittedView } from "../api/types";
import { quoted } from "./words";

const END = "END_OF_SCRIPT";

/** For a job that is there: the words that submit it again; where no line says all of it, the one that asks the server for it. */
export function jobLine(job: string, submitted: SubmittedView | undefined): string {
  const whole = submitted !== undefined && submitted.left_out.length === 0 && sayable(submitted.submission);
  return whole && (submitted.submission.script ?? "\n").endsWith("\n") ? submitLine(submitted.submission) : `corral exec repeat ${job}`;
}

/** Whether a line says all of it (but for a line end at the end of a script, which a heredoc always has). */
export function sayable(body: SubmitBody): boolean {
  if (body.file || body.stdin) return false;
  if (body.script) return !body.script.split("\n").includes(END);
  return body.kind === undefined || body.kind === null || body.kind === "exec" || (body.grace == null && body.max_output == null);
}

/** For what is about to be submitted. */
export function submitLine(body: SubmitBody): string {
  const options: string[] = ["-t", quoted(body.target)];
  const numbers: [string, number | null | undefined, string][] = [
    ["--timeout", body.timeout, "s"],
    ["--grace", body.grace, "s"],
    ["--concurrency", body.concurrency, ""],
    ["--expires", body.expires, "s"],
    ["--retry", body.retries, ""],
    ["--max-output", body.max_output, ""],
  ];
  for (const [name, value, unit] of numbers) if (value !== null && value !== undefined) options.push(name, `${value}${unit}`);
  if (body.name) options.push("--name", quoted(body.name));
  if (body.offline) options.push("--offline", body.offline);
  if (body.user) options.push("--user", quoted(body.user));
  if (body.cwd) options.push("--cwd", quoted(body.cwd));
  if (body.host) options.push("--host");
  for (const [name, value] of Object.entries(body.env ?? {})) options.push("--env", quoted(`${name}=${value}`));
  if (body.kind && body.kind !== "exec") {
    const given = Object.entries(body.params ?? {}).map(([name, value]) => "-p " + quoted(`${name}=${typeof value === "string" ? value : JSON.stringify(value)}`));
    if (body.connection) options.push("--connection", quoted(body.connection));
    if (body.dry_run) options.push("--dry-run");
    return ["corral task run", body.kind, ...options, ...given].join(" ");
  }
  if (body.script) {
    const line = ["corral exec run", ...options, "--interpreter", body.interpreter ?? "sh", "--script", "-"].join(" ");
    return `${line} <<'${END}'\n${body.script}${body.script.endsWith("\n") ? "" : "\n"}${END}`;
  }
  if (body.shell) return ["corral exec run", ...options, "--shell --", quoted(body.shell)].join(" ");
  return ["corral exec run", ...options, "--", ...(body.argv ?? []).map(quoted)].join(" ");
}
