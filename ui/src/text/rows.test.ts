import { describe, expect, it } from "vitest";
import { matchOf, objectOf, pairsOf, rowsOfMatch, rowsOfPairs, wordsAsText } from "./rows";

describe("the match of a policy rule", () => {
  it("comes back from its rows as it was", () => {
    const match = { program: ["rm", "apt*"], argv: ["systemctl", "restart", "nginx*"], text: ["* it's *", "a\nb", ""], removes: ["/var/**", "/x/?"] };
    expect(matchOf(rowsOfMatch(match)).match).toEqual(match);
  });
  it("stands in the order of the documentation, whatever order it is kept in", () => {
    expect(rowsOfMatch({ text: ["x"], program: ["rm"] }).map((row) => row.key)).toEqual(["program", "text"]);
  });
  it("begins with a row to fill in", () => expect(rowsOfMatch({})).toEqual([{ key: "program", text: "" }]));
  it("leaves globs and paths unquoted, and parts words at line breaks", () => {
    expect(wordsAsText(["/usr/lib/**", "nginx*", "a b"])).toBe("/usr/lib/** nginx* 'a b'");
    expect(matchOf([{ key: "program", text: "rm\n  mkfs*" }]).match).toEqual({ program: ["rm", "mkfs*"] });
  });
  it.each([
    ["open_quote", [{ key: "program", text: "'rm" }]],
    ["empty", [{ key: "program", text: "  " }]],
    ["twice", [{ key: "args", text: "a" }, { key: "args", text: "b" }]],
  ])("says %s", (why, rows) => expect(matchOf(rows).wrong.at(-1)).toBe(why));
  it("takes no word of the language for a key that was given", () => {
    expect(matchOf([{ key: "toString", text: "a" }])).toEqual({ match: { toString: ["a"] }, wrong: [""] });
  });
});

describe("pairs", () => {
  it("come back from their rows as they were", () => {
    const pairs = { mode: "verify", ca: "-----BEGIN\nline=2\n" };
    expect(pairsOf(rowsOfPairs(pairs))).toEqual({ pairs, wrong: ["", ""] });
  });
  it("forget a row that was left empty", () => expect(pairsOf([{ key: "", text: "" }])).toEqual({ pairs: {}, wrong: [""] }));
  it.each([
    ["no_key", [{ key: " ", text: "x" }]],
    ["empty", [{ key: "mode", text: "" }]],
    ["twice", [{ key: "mode", text: "off" }, { key: "mode ", text: "off" }]],
  ])("say %s", (why, rows) => expect(pairsOf(rows).wrong.at(-1)).toBe(why));
});

it.each([
  ["", {}],
  ['{"review": {"drop": "error"}}', { review: { drop: "error" } }],
  ["[1]", null],
  ["null", null],
  ["{", null],
])("reads %j as a JSON object", (text, wanted) => expect(objectOf(text)).toEqual(wanted));
