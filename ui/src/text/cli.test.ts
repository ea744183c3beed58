import { expect, it } from "vitest";
import type { JobView } from "../api/types";
import { runAgain, submitLine } from "./cli";

const job = (command: string) => ({ job: "J1", kind: "exec", target: "web-*", command }) as JobView;

it("writes what the page submits as a command", () => {
  expect(submitLine({ target: 'labels["role"] == "web"', shell: "df -h | tail -1", timeout: 10 })).toBe(
    `corral exec run -t 'labels["role"] == "web"' --timeout 10s --shell -- 'df -h | tail -1'`,
  );
  expect(submitLine({ target: "all", argv: ["echo", "it's"] })).toBe(`corral exec run -t all -- echo 'it'\\''s'`);
  expect(submitLine({ target: "all", kind: "http", params: { url: "http://x", retries: 2 } })).toBe("corral task run http -t all -p url=http://x -p retries=2");
});

it("offers to run again only what it knows whole", () => {
  expect(runAgain(job("uptime"), undefined)).toContain("command=uptime");
  expect(runAgain(job("a very long line…"), undefined)).toBeNull();
  expect(runAgain(job("a b"), { target: "web-*", shell: "a\nb" })).toBeNull();
  expect(runAgain(job("echo x"), { target: "web-*", argv: ["echo", "two words"] })).toContain("mode=argv");
});
