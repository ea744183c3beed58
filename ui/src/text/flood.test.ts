import { expect, it } from "vitest";
import { grouped, JobOutput, type Ended } from "./output";

const NODES = 50;
const LINES_A_SECOND = 200;
const REDRAWS_A_SECOND = 5;
const SECONDS = Number(import.meta.env["VITE_FLOOD_SECONDS"] ?? 20);

it("keeps up with fifty nodes of two hundred lines a second, in bounded memory", { timeout: 600_000 }, () => {
  const output = new JobOutput();
  const names = Array.from({ length: NODES }, (_, number) => `node-${number}`);
  const tasks: Ended[] = names.map((node) => ({ node, state: "running", exit_code: null, reason: "", reason_text: "", detail: "" }));
  const offsets = new Map<string, number>();
  const began = performance.now();
  let line = 0;
  let largest = 0;
  for (let redraw = 0; redraw < SECONDS * REDRAWS_A_SECOND; redraw += 1) {
    for (const [number, node] of names.entries()) {
      // Half of the nodes write the same, so that groups have something to compare.
      const who = number % 2 === 0 ? "all" : node;
      let text = "";
      for (let count = 0; count < LINES_A_SECOND / REDRAWS_A_SECOND; count += 1) text += `${line + count} ${who} the quick brown fox jumps over the lazy dog 0123456789\n`;
      const offset = offsets.get(node) ?? 0;
      output.feed({ node, attempt: 1, stream: "stdout", offset, data: btoa(text), skipped: 0 });
      offsets.set(node, offset + text.length);
    }
    line += LINES_A_SECOND / REDRAWS_A_SECOND;
    expect(grouped(tasks, output)).toHaveLength(1 + NODES / 2);
    largest = Math.max(largest, [...output.nodes.values()].reduce((sum, node) => sum + node.kept, 0));
  }
  const share = (performance.now() - began) / 1000 / SECONDS;
  console.info(`${SECONDS} s of output: ${(share * 100).toFixed(0)} % of one core, at most ${(largest / (1 << 20)).toFixed(0)} Mi characters kept`);
  expect(share).toBeLessThan(0.6);
  expect(largest).toBeLessThanOrEqual(49 << 20);
});
