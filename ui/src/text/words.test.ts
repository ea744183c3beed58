import { expect, it } from "vitest";
import { quoted, shellish, split } from "./words";

it.each([
  ["systemctl restart app", ["systemctl", "restart", "app"]],
  ["echo 'two words' \"and $two\"", ["echo", "two words", "and $two"]],
  ["a\\ b ''", ["a b", ""]],
  ["", []],
])("splits %j as a shell does", (line, words) => expect(split(line)).toEqual(words));

it("says when a quote is not closed", () => expect(split("echo 'x")).toBeNull());

it("quotes what it splits", () => {
  for (const word of ["plain-1.2", "two words", "it's", "", '"', "$(x)", "a\nb"]) expect(split(quoted(word))).toEqual([word]);
});

it("sees what only a shell would understand", () => {
  expect(shellish("df -h | tail")).toBe(true);
  expect(shellish("echo '|'")).toBe(false);
});
