import { expect, it } from "vitest";
import type { SubmitBody, SubmittedView } from "../api/types";
import { jobLine, submitLine } from "./cli";

const submitted = (submission: SubmitBody, left_out: string[] = []): SubmittedView => ({ job: "J1", submission, left_out });

it("writes what the page submits as a command", () => {
  expect(submitLine({ target: 'labels["role"] == "web"', shell: "df -h | tail -1", timeout: 10 })).toBe(
    `corral exec run -t 'labels["role"] == "web"' --timeout 10s --shell -- 'df -h | tail -1'`,
  );
  expect(submitLine({ target: "all", argv: ["echo", "it's"] })).toBe(`corral exec run -t all -- echo 'it'\\''s'`);
  expect(submitLine({ target: "all", kind: "http", params: { url: "http://x", retries: 2 }, dry_run: true })).toBe(
    "corral task run http -t all --dry-run -p url=http://x -p retries=2",
  );
  expect(submitLine({ target: "all", script: "a\n", interpreter: "bash", env: { A: "b c" }, host: true })).toBe(
    "corral exec run -t all --host --env 'A=b c' --interpreter bash --script - <<'END_OF_SCRIPT'\na\nEND_OF_SCRIPT",
  );
});

it("has the server say what no line can say whole", () => {
  expect(jobLine("J1", submitted({ target: "all", argv: ["uptime"] }))).toBe("corral exec run -t all -- uptime");
  const others = [
    undefined,
    submitted({ target: "all", argv: ["cat"], stdin: "eA==" }),
    submitted({ target: "all", argv: ["env"] }, ["env"]),
    submitted({ target: "all", script: "no line end" }),
    submitted({ target: "all", script: "END_OF_SCRIPT\n" }),
    submitted({ target: "all", kind: "file", file: { op: "delete", dest: "/x" } }),
    submitted({ target: "all", kind: "http", params: {}, grace: 1 }),
  ];
  for (const other of others) expect(jobLine("J1", other)).toBe("corral exec repeat J1");
});
