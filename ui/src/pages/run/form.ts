// What is typed on the Run page, and the submission it makes; and back, to run a job again. Pure.
import type { KindView, SubmitBody } from "../../api/types";
import { BadField, paramsOf, textsOf } from "../../text/schema";
import { quoted, split } from "../../text/words";

export const INTERPRETERS = ["sh", "bash", "python3", "pwsh"] as const;

export interface Typed {
  target: string;
  /** argv, shell, script, or the name of another kind. */
  mode: string;
  command: string;
  script: string;
  interpreter: string;
  timeout: string;
  concurrency: string;
  offline: string;
  expires: string;
  retries: string;
  user: string;
  cwd: string;
  connection: string;
  dryRun: boolean;
  params: Record<string, string>;
  name: string;
  /** NAME=VALUE, one a line. */
  env: string;
  /** Of the job this runs again: what the form has no field for. */
  carried: Carried;
}

export type Carried = Pick<SubmitBody, "grace" | "max_output" | "stdin" | "host" | "env">;

export const NOTHING_TYPED: Omit<Typed, "target" | "mode" | "command"> = {
  script: "", interpreter: "sh", timeout: "", concurrency: "", offline: "", expires: "", retries: "", user: "", cwd: "", connection: "", dryRun: false, params: {}, name: "", env: "", carried: {},
};

export const COMMANDS: readonly string[] = ["argv", "shell", "script"];

/** Null while it is not complete. Throws BadField for JSON that is none. */
export function submission(typed: Typed, kinds: readonly KindView[]): SubmitBody | null {
  const body: SubmitBody = { target: typed.target.trim() };
  if (body.target === "") return null;
  if (typed.mode === "argv") {
    const argv = split(typed.command);
    if (argv === null || argv.length === 0) return null;
    body.argv = argv;
  } else if (typed.mode === "shell") {
    if (typed.command.trim() === "") return null;
    body.shell = typed.command;
  } else if (typed.mode === "script") {
    if (typed.script.trim() === "") return null;
    body.script = typed.script;
    body.interpreter = typed.interpreter as NonNullable<SubmitBody["interpreter"]>;
  } else {
    const kind = kinds.find((one) => one.name === typed.mode);
    if (kind?.schema == null) return null;
    body.kind = kind.name;
    body.params = paramsOf(kind.schema, typed.params);
    if (typed.connection.trim()) body.connection = typed.connection.trim();
    if (typed.dryRun) body.dry_run = true;
  }
  for (const name of ["timeout", "concurrency", "expires", "retries"] as const) {
    if (typed[name].trim() !== "") body[name] = Number(typed[name]);
  }
  if (typed.offline) body.offline = typed.offline as NonNullable<SubmitBody["offline"]>;
  if (typed.user.trim()) body.user = typed.user.trim();
  if (typed.name.trim()) body.name = typed.name.trim();
  if (COMMANDS.includes(typed.mode)) {
    if (typed.cwd.trim()) body.cwd = typed.cwd.trim();
    const env = variables(typed.env);
    if (Object.keys(env).length > 0) body.env = env;
    return { ...body, ...typed.carried };
  }
  const { grace, max_output } = typed.carried;
  return { ...body, ...(grace == null ? {} : { grace }), ...(max_output == null ? {} : { max_output }) };
}

function variables(text: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const line of text.split("\n").filter((one) => one.trim() !== "")) {
    const at = line.indexOf("=");
    if (at < 1) throw new BadField("env", line.slice(0, 40));
    found[line.slice(0, at).trim()] = line.slice(at + 1);
  }
  return found;
}

/** The form that makes `body`; null for a kind that has no form here (files). */
export function typedAs(body: SubmitBody, kinds: readonly KindView[]): Typed | null {
  const kind = body.kind && body.kind !== "exec" ? kinds.find((one) => one.name === body.kind) : undefined;
  if (body.file || (body.kind && body.kind !== "exec" && kind?.schema == null)) return null;
  const typed: Typed = { ...NOTHING_TYPED, target: body.target, mode: "shell", command: "", carried: {} };
  if (kind?.schema) {
    typed.mode = kind.name;
    typed.params = textsOf(kind.schema, body.params ?? {});
    typed.connection = body.connection ?? "";
    typed.dryRun = body.dry_run ?? false;
  } else if (body.script) Object.assign(typed, { mode: "script", script: body.script, interpreter: body.interpreter ?? "sh" });
  else if (body.argv) Object.assign(typed, { mode: "argv", command: body.argv.map(quoted).join(" ") });
  else typed.command = body.shell ?? "";
  for (const name of ["timeout", "concurrency", "expires", "retries"] as const) typed[name] = body[name] == null ? "" : String(body[name]);
  for (const name of ["offline", "user", "cwd", "name"] as const) typed[name] = body[name] ?? "";
  const env = Object.entries(body.env ?? {});
  if (env.some(([, value]) => value.includes("\n"))) typed.carried.env = body.env ?? null;
  else typed.env = env.map(([name, value]) => `${name}=${value}`).join("\n");
  for (const name of ["grace", "max_output", "stdin", "host"] as const) {
    if (body[name] != null) Object.assign(typed.carried, { [name]: body[name] });
  }
  return typed;
}
