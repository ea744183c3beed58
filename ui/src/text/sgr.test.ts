import { describe, expect, it } from "vitest";
import { classes, parseLine, plain, PLAIN, startStyles, visible } from "./sgr";

const texts = (line: string) => parseLine(line).pieces.map((piece) => piece.text);

describe("colours", () => {
  it("obeys colour and weight, and takes them back", () => {
    const { pieces, after } = parseLine("\x1b[1;31mred\x1b[0m plain");
    expect(pieces.map((piece) => [piece.text, classes(piece.style)])).toEqual([["red", "f1 bold"], [" plain", ""]]);
    expect(after).toEqual(PLAIN);
  });
  it("goes on over line ends", () => {
    expect(startStyles([{ text: "\x1b[32mgreen" }, { text: "still" }]).map(classes)).toEqual(["", "f2"]);
  });
  it("shows 256 and true colours by the nearest of the sixteen", () => {
    for (const line of ["\x1b[38;5;196mx", "\x1b[38;2;255;0;0mx"]) expect(classes(parseLine(line).after)).toBe("f9");
  });
  it("never writes in the colour of the ground", () => {
    expect(classes(parseLine("\x1b[31;41mhidden").after)).toBe("b1");
  });
  it("ignores concealed and blinking", () => {
    expect(classes(parseLine("\x1b[8;5mseen").after)).toBe("");
  });
});

describe("what is not a colour", () => {
  it.each([
    ["moves of the cursor", "a\x1b[2Jb\x1b[1;1Hc", "abc"],
    ["titles and links", "\x1b]0;title\x07a\x1b]8;;https://evil.example\x1b\\link\x1b]8;;\x1b\\", "alink"],
    ["device strings", "a\x1bPq#0\x1b\\b", "ab"],
    ["an escape sequence without an end", "a\x1b]0;never ends", "a"],
    ["a lone escape", "a\x1b", "a"],
  ])("takes out %s", (_what, line, text) => {
    expect(texts(line).join("")).toBe(text);
    expect(plain(line)).toBe(text);
  });
  it("makes control characters visible", () => {
    expect(visible("a\x00b\x07\x7f")).toBe("a\u2400b\u2407\u2421");
  });
  it("makes what reorders or hides text visible", () => {
    expect(visible("user\u202Etxt.exe\u200b")).toBe("user<U+202E>txt.exe<U+200B>");
  });
  it("leaves markup as the text it is", () => {
    expect(texts("<img src=x onerror=alert(1)>")).toEqual(["<img src=x onerror=alert(1)>"]);
  });
  it("reads a megabyte of escapes in a moment", () => {
    const began = performance.now();
    parseLine("\x1b[".repeat(300_000));
    parseLine("\x1b[31m".repeat(200_000));
    parseLine("\x1b]".repeat(300_000));
    expect(performance.now() - began).toBeLessThan(2_000);
  });
});
