// The JSON Schema subset of executors' params, as fields of a form, and the form's texts back as values. Pure.

export interface Field {
  name: string;
  kind: "text" | "lines" | "number" | "flag" | "choice" | "json" | "password";
  required: boolean;
  title: string;
  about: string;
  initial: string;
  choices: string[];
  placeholder: string;
}

type Schema = Record<string, unknown>;

export function fieldsOf(schema: Schema): Field[] {
  const required = new Set(Array.isArray(schema["required"]) ? (schema["required"] as string[]) : []);
  const properties = (schema["properties"] ?? {}) as Record<string, Schema>;
  const fields = Object.entries(properties).map(([name, one]) => fieldOf(name, one, required.has(name)));
  return [...fields.filter((field) => field.required), ...fields.filter((field) => !field.required)];
}

function fieldOf(name: string, one: Schema, required: boolean): Field {
  const initial = one["default"];
  return {
    name,
    kind: kindOf(one),
    required,
    title: typeof one["title"] === "string" ? one["title"] : name,
    about: typeof one["description"] === "string" ? one["description"] : "",
    initial: "",
    choices: Array.isArray(one["enum"]) ? one["enum"].map(String) : [],
    placeholder: initial === undefined || initial === null ? "" : typeof initial === "string" ? initial : JSON.stringify(initial),
  };
}

function kindOf(one: Schema): Field["kind"] {
  if (Array.isArray(one["enum"])) return "choice";
  const type = Array.isArray(one["type"]) ? "json" : one["type"];
  if (type === "boolean") return "flag";
  if (type === "integer" || type === "number") return "number";
  if (type === "string") {
    if (one["format"] === "password") return "password";
    return ["multiline", "sql", "json"].includes(String(one["format"])) ? "lines" : "text";
  }
  const items = (one["items"] ?? {}) as Schema;
  if (type === "array" && items["type"] === "string" && items["format"] === undefined) return "lines";
  return "json";
}

export class BadField extends Error {
  constructor(
    readonly field: string,
    message: string,
  ) {
    super(message);
  }
}

/** What was typed → params. Empty fields are left out: the executor's default holds. Whether the values will do, the server says. */
export function paramsOf(schema: Schema, typed: Readonly<Record<string, string>>): Record<string, unknown> {
  const properties = (schema["properties"] ?? {}) as Record<string, Schema>;
  const params: Record<string, unknown> = {};
  for (const field of fieldsOf(schema)) {
    const text = typed[field.name] ?? "";
    if (text === "") continue;
    const type = properties[field.name]?.["type"];
    if (field.kind === "flag") params[field.name] = text === "true";
    else if (field.kind === "number") params[field.name] = Number(text);
    else if (field.kind === "lines" && type === "array") params[field.name] = text.split("\n").filter((line) => line !== "");
    else if (field.kind === "json") {
      try {
        params[field.name] = JSON.parse(text);
      } catch {
        throw new BadField(field.name, text.slice(0, 40));
      }
    } else if (field.kind === "choice" && type !== "string") params[field.name] = Number.isNaN(Number(text)) ? text : Number(text);
    else params[field.name] = text;
  }
  return params;
}

/** Params → what stands in the form's fields: the inverse of paramsOf. */
export function textsOf(schema: Schema, params: Readonly<Record<string, unknown>>): Record<string, string> {
  const kinds = new Map(fieldsOf(schema).map((field) => [field.name, field.kind]));
  return Object.fromEntries(
    Object.entries(params).map(([name, value]) => {
      if (kinds.get(name) === "lines" && Array.isArray(value)) return [name, value.join("\n")];
      return [name, typeof value === "string" && kinds.get(name) !== "json" ? value : JSON.stringify(value)];
    }),
  );
}
