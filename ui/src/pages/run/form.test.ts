import { expect, it } from "vitest";
import type { KindView, SubmitBody } from "../../api/types";
import { submission, typedAs } from "./form";

const HTTP = { name: "http", schema: { type: "object", properties: { url: { type: "string" }, codes: { type: "array" } } } } as unknown as KindView;

it("fills the form so that it submits the same again", () => {
  const bodies: SubmitBody[] = [
    { target: "all", argv: ["echo", "a b", "it's"] },
    { target: "all", shell: "a\nb", timeout: 7.5, concurrency: 2, expires: 60, retries: 1, offline: "skip", name: "x" },
    { target: "all", script: "a\n", interpreter: "bash", env: { A: "1=2", B: "" }, cwd: "/srv", user: "app", stdin: "eA==", host: true },
    { target: "all", argv: ["env"], env: { A: "two\nlines" }, grace: 1, max_output: 4096 },
    { target: "all", kind: "http", params: { url: "http://x", codes: [200] }, connection: "c", dry_run: true, grace: 2 },
  ];
  for (const body of bodies) {
    const typed = typedAs(body, [HTTP]);
    expect(typed && submission(typed, [HTTP])).toEqual(body);
  }
});

it("has no form for files and for kinds it does not know", () => {
  expect(typedAs({ target: "all", kind: "file", file: { op: "delete", dest: "/x" } }, [HTTP])).toBeNull();
  expect(typedAs({ target: "all", kind: "gone", params: {} }, [HTTP])).toBeNull();
});
