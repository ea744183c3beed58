// What is typed on the Run page, and the submission it makes. Pure.
import type { KindView, SubmitBody } from "../../api/types";
import { paramsOf } from "../../text/schema";
import { split } from "../../text/words";

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
}

export const NOTHING_TYPED: Omit<Typed, "target" | "mode" | "command"> = {
  script: "", interpreter: "sh", timeout: "", concurrency: "", offline: "", expires: "", retries: "", user: "", cwd: "", connection: "", dryRun: false, params: {},
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
  if (typed.cwd.trim() && COMMANDS.includes(typed.mode)) body.cwd = typed.cwd.trim();
  return body;
}
