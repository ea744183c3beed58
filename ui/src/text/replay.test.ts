import { describe, expect, it } from "vitest";
import { advance, isMark, replayed, ReplayLog, rowAt, ticks, upTo, type Played, type Printed, type Replayed } from "./replay";

const base64 = (text: string) => btoa(Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte)).join(""));
const chunk = (node: string, at: number, offset: number, text: string, more: object = {}) => ({ node, attempt: 1, stream: "stdout", offset, data: base64(text), skipped: 0, at, ...more });
const time = (second: number) => new Date(second * 1000).toISOString();
const task = (node: string, began: number | null, ended: number | null, more: object = {}): Played => ({
  node,
  state: ended === null ? "running" : "succeeded",
  attempt: 1,
  exit_code: 0,
  started_at: began === null ? null : time(began),
  finished_at: ended === null ? null : time(ended),
  ...more,
});

function log(...chunks: ReturnType<typeof chunk>[]): ReplayLog {
  const made = new ReplayLog();
  for (const one of chunks) made.feed(one);
  made.finish();
  return made;
}

/** What is seen at a position, a text a moment. */
function seen(played: Replayed, position: number): string[] {
  return played.moments.slice(0, upTo(played, position)).map((one) => (isMark(one) ? `${one.node} ${one.what}` : `${one.node}: ${rowAt(one, played.zero, position).text}`));
}

describe("a replay", () => {
  const two = () =>
    replayed(log(chunk("a", 101, 0, "one\n"), chunk("b", 102, 0, "uno\n"), chunk("a", 104, 4, "two\n")), [task("a", 100, 105), task("b", 101, 103)]);

  it("merges what nodes wrote with when their tasks began and ended", () => {
    expect(seen(two(), 99)).toEqual(["a began", "b began", "a: one", "b: uno", "b succeeded", "a: two", "a succeeded"]);
  });
  it("shows at a position what had come by then", () => {
    expect(two().length).toBe(5);
    expect(seen(two(), 0)).toEqual(["a began"]);
    expect(seen(two(), 2)).toEqual(["a began", "b began", "a: one", "b: uno"]);
    expect(seen(two(), 5)).toHaveLength(7);
  });
  it("ends no task before the last that it printed", () => {
    const late = replayed(log(chunk("a", 107, 0, "late\n")), [task("a", 100, 105)]);
    expect(seen(late, 99).at(-1)).toBe("a succeeded");
    expect(late.length).toBe(7);
  });
  it("leaves out nodes that are not asked for, and a task that never began", () => {
    expect(seen(replayed(log(chunk("a", 101, 0, "x\n"), chunk("z", 101, 0, "not ours\n")), [task("a", 100, 102), task("c", null, null)]), 9)).toEqual(["a began", "a: x", "a succeeded"]);
  });
  it("has nothing to show of a job that has not begun", () => {
    expect(replayed(new ReplayLog(), [task("a", null, null)])).toEqual({ moments: [], marks: [], times: [], zero: 0, length: 0 });
  });
  it("lets a row grow as it was written", () => {
    const played = replayed(log(chunk("a", 101, 0, "10 %"), chunk("a", 103, 4, " 20 %"), chunk("a", 104, 9, " done\nnext\n")), [task("a", 100, 105)]);
    expect(seen(played, 1)).toEqual(["a began", "a: 10 %"]);
    expect(seen(played, 3.5).at(-1)).toBe("a: 10 % 20 %");
    expect(seen(played, 4)).toEqual(["a began", "a: 10 % 20 % done", "a: next"]);
  });
  it("puts ranges in order and names what is missing", () => {
    const played = replayed(log(chunk("a", 101, 4, "two\n"), chunk("a", 102, 0, "one\n"), chunk("a", 103, 20, "end\n")), [task("a", 100, 105)]);
    expect(seen(played, 9)).toEqual(["a began", "a: one", "a: two", "a: missing:12", "a: end", "a succeeded"]);
    expect(seen(played, 1)).toEqual(["a began"]);
  });
  it("never goes back within a node, whatever the clock did", () => {
    const played = replayed(log(chunk("a", 103, 0, "one\n"), chunk("a", 101, 4, "two\n")), [task("a", 100, 105)]);
    expect(seen(played, 9)).toEqual(["a began", "a: one", "a: two", "a succeeded"]);
  });
  it("carries colours on within a node and not to another", () => {
    const played = replayed(log(chunk("a", 101, 0, "\x1b[31mred\n"), chunk("b", 102, 0, "plain\n"), chunk("a", 103, 9, "still red\n")), [task("a", 100, 105), task("b", 100, 105)]);
    const printed = played.moments.filter((one) => !isMark(one)) as Printed[];
    expect(printed.map((one) => one.start.fg)).toEqual([-1, -1, 1]);
  });
  it("spreads output over the run where no times are stored", () => {
    const played = replayed(log(chunk("a", 0, 0, "1234567\n"), chunk("a", 0, 8, "1234567\n")), [task("a", 100, 110)]);
    expect(seen(played, 5)).toEqual(["a began", "a: 1234567"]);
    expect(seen(played, 10)).toHaveLength(4);
  });
  it("shows both attempts of a task that was tried again", () => {
    const played = replayed(log(chunk("a", 101, 0, "first\n"), chunk("a", 111, 0, "second\n", { attempt: 2 })), [task("a", 110, 112, { attempt: 2 })]);
    expect(seen(played, 99)).toEqual(["a: first", "a began", "a: second", "a succeeded"]);
  });
  it("keeps the first part within its memory, and says that it is not all", () => {
    const most = 100_000;
    const kept = new ReplayLog(most);
    for (let at = 0; at < 5_000; at += 1) kept.feed(chunk("a", 100 + at, at * 100, "x".repeat(99) + "\n"));
    expect(kept.full).toBe(true);
    expect(kept.rows.reduce((sum, one) => sum + one.row.text.length + 64, 0)).toBeLessThan(most + 1_000);
    expect(kept.rows[0]?.at).toBe(100);
  });
  it("bounds a row that comes byte by byte as well", () => {
    const kept = new ReplayLog(20_000);
    for (let at = 0; at < 5_000 && !kept.full; at += 1) kept.feed(chunk("a", 100 + at, at, "x"));
    expect(kept.full).toBe(true);
  });
  it("cuts a line of a megabyte into rows", () => {
    const kept = log(chunk("a", 101, 0, "x".repeat(1 << 20)));
    expect(Math.max(...kept.rows.map((one) => one.row.text.length))).toBeLessThanOrEqual(2_000);
  });
});

describe("playing on", () => {
  const played = replayed(log(chunk("a", 101, 0, "one\n"), chunk("a", 161, 4, "two\n")), [task("a", 100, 162)]);

  it("takes the time it took", () => {
    expect(advance(played, 1, 10, false)).toBe(11);
    expect(advance(played, 60, 10, false)).toBe(62);
  });
  it("passes over the rest of a long pause when idle time is cut", () => {
    expect(advance(played, 1, 1.5, true)).toBe(2.5);
    expect(advance(played, 1, 2.5, true)).toBe(61.5);
    expect(advance(played, 30, 0.5, true)).toBe(61.5);
    expect(advance(played, 0, 60, true)).toBe(62);
  });
  it("leaves short pauses as they are", () => {
    expect(advance(played, 0, 0.5, true)).toBe(0.5);
    expect(advance(played, 0, 1.2, true)).toBe(1.2);
  });
  it("counts a row that grows as something that happens", () => {
    const dots = replayed(log(...Array.from({ length: 10 }, (_, at) => chunk("a", 101 + 1.5 * at, at, "."))), [task("a", 100, 116)]);
    expect(advance(dots, 1, 6, true)).toBe(7);
  });
});

it("draws no more marks than can be told apart", () => {
  const many = Array.from({ length: 500 }, (_, at) => task(`n${at}`, 100 + at / 1000, 150 + at / 100));
  const drawn = ticks(replayed(new ReplayLog(), many));
  expect(drawn.length).toBeLessThan(100);
  expect(drawn.every((one) => one.left >= 0 && one.left <= 100)).toBe(true);
});
