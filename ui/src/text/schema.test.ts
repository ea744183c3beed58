import { expect, it } from "vitest";
import { BadField, fieldsOf, paramsOf, textsOf } from "./schema";

const SCHEMA = {
  type: "object",
  required: ["url"],
  properties: {
    mode: { type: "string", enum: ["run", "explain"], default: "run" },
    url: { type: "string" },
    sql: { type: "string", format: "sql" },
    cap: { type: "integer", default: 1000 },
    dry: { type: "boolean" },
    names: { type: "array", items: { type: "string" } },
    headers: { type: "object" },
  },
};

it("makes a field of each property, the required ones first", () => {
  expect(fieldsOf(SCHEMA).map((field) => [field.name, field.kind])).toEqual([
    ["url", "text"], ["mode", "choice"], ["sql", "lines"], ["cap", "number"], ["dry", "flag"], ["names", "lines"], ["headers", "json"],
  ]);
});

it("makes params of what was typed and leaves the rest to the executor", () => {
  const typed = { url: "http://x", cap: "5", dry: "true", names: "a\nb\n", headers: '{"A":"b"}', sql: "", mode: "explain" };
  expect(paramsOf(SCHEMA, typed)).toEqual({ url: "http://x", cap: 5, dry: true, names: ["a", "b"], headers: { A: "b" }, mode: "explain" });
});

it("names the field whose JSON is none", () => {
  expect(() => paramsOf(SCHEMA, { headers: "{" })).toThrow(BadField);
});

it("writes params into the fields so that they come out the same", () => {
  const params = { url: "http://x", cap: 5, dry: false, names: ["a", "b"], headers: { A: "b" }, mode: "explain" };
  expect(paramsOf(SCHEMA, textsOf(SCHEMA, params))).toEqual(params);
  expect(paramsOf(SCHEMA, textsOf(SCHEMA, { headers: "text" }))).toEqual({ headers: "text" });
});
