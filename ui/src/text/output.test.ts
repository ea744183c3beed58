import { describe, expect, it } from "vitest";
import { grouped, JobOutput, NodeOutput, ROW_CHARACTERS, type Ended } from "./output";

const base64 = (text: string) => btoa(Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte)).join(""));
const chunk = (node: string, offset: number, text: string, more: object = {}) => ({ node, attempt: 1, stream: "stdout", offset, data: base64(text), skipped: 0, ...more });
const task = (node: string, state = "succeeded", exit_code: number | null = 0): Ended => ({ node, state, exit_code, reason: "", reason_text: "", detail: "" });
const KEEP = 1 << 20;

function wrote(...texts: string[]): NodeOutput {
  const node = new NodeOutput();
  let offset = 0;
  for (const text of texts) {
    node.feed(chunk("n", offset, text), KEEP);
    offset += new TextEncoder().encode(text).length;
  }
  return node;
}

describe("lines of one node", () => {
  it("are the same however the bytes were cut", () => {
    const whole = "one\ntwo\r\nthree ünï\n\nlast";
    const rows = wrote(whole).rows;
    expect(rows.map((row) => row.text)).toEqual(["one", "two", "three ünï", "", "last"]);
    for (let cut = 1; cut < whole.length; cut += 1) {
      expect(wrote(whole.slice(0, cut), whole.slice(cut)).rows.map((row) => row.text).join("\n")).toBe("one\ntwo\nthree ünï\n\nlast");
    }
  });
  it("show each state of a progress bar, so nothing is overwritten", () => {
    expect(wrote("10 %\r20 %\rdone\n").rows.map((row) => row.text)).toEqual(["10 %", "20 %", "done"]);
  });
  it("are cut when they are very long", () => {
    const rows = wrote("x".repeat(1 << 19)).rows;
    expect(rows.every((row) => row.text.length <= ROW_CHARACTERS)).toBe(true);
    expect(rows.filter((row) => !row.more)).toHaveLength(1);
  });
  it("come in order, once, whatever order the ranges come in", () => {
    const node = new NodeOutput();
    node.feed(chunk("n", 4, "two\n"), KEEP);
    node.feed(chunk("n", 4, "two\n"), KEEP);
    expect(node.rows).toHaveLength(0);
    node.feed(chunk("n", 0, "one\n"), KEEP);
    node.feed(chunk("n", 0, "one\ntwo\n"), KEEP);
    expect(node.rows.map((row) => row.text)).toEqual(["one", "two"]);
  });
  it("name what was left out and what is missing", () => {
    const node = new NodeOutput();
    node.feed(chunk("n", 0, "head\n"), KEEP);
    node.feed(chunk("n", 105, "tail\n", { skipped: 100 }), KEEP);
    node.feed(chunk("n", 200, "end\n"), KEEP);
    node.finish(KEEP);
    expect(node.rows.map((row) => row.text)).toEqual(["head", "left-out:100", "tail", "missing:90", "end"]);
  });
  it("begin anew with a new attempt", () => {
    const node = wrote("first\n");
    node.feed(chunk("n", 0, "second\n", { attempt: 2 }), KEEP);
    node.feed(chunk("n", 6, "late\n", { attempt: 1 }), KEEP);
    expect(node.rows.map((row) => row.text)).toEqual(["second"]);
  });
  it("stay within what may be kept", () => {
    const node = new NodeOutput();
    const line = "x".repeat(99) + "\n";
    for (let at = 0; at < 5_000; at += 1) node.feed(chunk("n", at * 100, line), 50_000);
    expect(node.kept).toBeLessThanOrEqual(50_000);
    expect(node.rows.length + node.dropped).toBe(5_000);
    for (let at = 0; at < 5_000; at += 1) node.feed(chunk("n", 500_000 + at, "\n"), 50_000);
    expect(node.rows.length).toBeLessThan(1_000);
  });
});

describe("groups", () => {
  it("hold the nodes that ended alike and wrote the same", () => {
    const output = new JobOutput();
    for (const node of ["a", "b", "c"]) output.feed(chunk(node, 0, node === "c" ? "other\n" : "same\n"));
    const groups = grouped([task("a"), task("b"), task("c"), task("d", "failed", 3)], output);
    expect(groups.map((group) => [group.state, group.code, group.nodes])).toEqual([
      ["failed", 3, ["d"]],
      ["succeeded", null, ["a", "b"]],
      ["succeeded", null, ["c"]],
    ]);
  });
  it("do not depend on how the bytes were cut", () => {
    const output = new JobOutput();
    output.feed(chunk("a", 0, "one\ntwo\n"));
    output.feed(chunk("b", 0, "one\nt"));
    output.feed(chunk("b", 5, "wo\n"));
    expect(grouped([task("a"), task("b")], output)).toHaveLength(1);
  });
  it("tell stdout from stderr", () => {
    const output = new JobOutput();
    output.feed(chunk("a", 0, "x\n"));
    output.feed(chunk("b", 0, "x\n", { stream: "stderr" }));
    expect(grouped([task("a"), task("b")], output)).toHaveLength(2);
  });
});
