import ts from "typescript";
import { describe, expect, it } from "vitest";
import en from "./en.json";
import zh from "./zh.json";

const PLURAL = /_(zero|one|two|few|many|other)$/;

function keys(catalogue: object, prefix = ""): string[] {
  return Object.entries(catalogue).flatMap(([key, value]) => (typeof value === "object" && value !== null ? keys(value, `${prefix}${key}.`) : [`${prefix}${key}`]));
}
const bare = (catalogue: object) => [...new Set(keys(catalogue).map((key) => key.replace(PLURAL, "")))].sort();
const texts = (catalogue: object): string[] => Object.values(catalogue).flatMap((value) => (typeof value === "string" ? [value] : texts(value as object)));

const SOURCES = import.meta.glob<string>("../**/*.{ts,tsx}", { query: "?raw", import: "default", eager: true });

describe("the catalogues", () => {
  it("say the same things", () => expect(bare(zh)).toEqual(bare(en)));
  it("have every plural their language needs", () => {
    const forms = (catalogue: object, wanted: string[]) => {
      const all = keys(catalogue);
      const plural = [...new Set(all.filter((key) => PLURAL.test(key)).map((key) => key.replace(PLURAL, "")))];
      return plural.filter((key) => wanted.some((form) => !all.includes(`${key}_${form}`)));
    };
    expect(forms(en, ["one", "other"])).toEqual([]);
    expect(forms(zh, ["other"])).toEqual([]);
  });
  it("have no empty text", () => expect([...texts(en), ...texts(zh)].filter((text) => text.trim() === "")).toEqual([]));
  it("know every key the sources name", () => {
    const known = new Set(bare(en));
    const asked = Object.entries(SOURCES)
      .filter(([file]) => !file.endsWith(".test.ts"))
      .flatMap(([file, text]) => [...text.matchAll(/\bt\(\s*"([a-z_A-Z.0-9]+)"/g)].map((found) => [file, found[1] ?? ""] as const));
    expect(asked.length).toBeGreaterThan(100);
    expect(asked.filter(([, key]) => !known.has(key))).toEqual([]);
  });
});

describe("the sources", () => {
  it("hold no text outside the catalogues", () => {
    expect(Object.entries(SOURCES).flatMap(([file, text]) => (file.endsWith(".tsx") ? literals(file, text) : []))).toEqual([]);
  });
  it("make no HTML of anything", () => {
    const words = /dangerouslySetInnerHTML|innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function/;
    expect(Object.entries(SOURCES).filter(([file, text]) => !file.endsWith(".test.ts") && words.test(text)).map(([file]) => file)).toEqual([]);
  });
});

/** Words that are the same in every language. */
const NAMES = new Set(["Corral", "⌘K", "stderr", "sh", "CSV", "JSON"]);
const SPOKEN = new Set(["title", "placeholder", "aria-label", "alt", "label"]);

function literals(file: string, text: string): string[] {
  const found: string[] = [];
  const visit = (node: ts.Node) => {
    if (ts.isJsxText(node) && says(node.text)) found.push(`${file}: ${node.text.trim()}`);
    if (ts.isJsxAttribute(node) && SPOKEN.has(node.name.getText()) && node.initializer !== undefined && ts.isStringLiteral(node.initializer) && says(node.initializer.text)) {
      found.push(`${file}: ${node.initializer.text}`);
    }
    // What stands in <code> is a command, not a sentence.
    if (ts.isJsxElement(node) && ["code", "kbd"].includes(node.openingElement.tagName.getText())) return;
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true, ts.ScriptKind.TSX));
  return found;
}

/** An example of a path, an address or a selector is no sentence. */
const EXAMPLE = /[/=[\]]/;

function says(text: string): boolean {
  const word = text.trim();
  return /\p{L}{2,}/u.test(word) && !NAMES.has(word) && !EXAMPLE.test(word);
}
