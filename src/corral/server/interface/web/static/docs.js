// /docs: openapi.json as a page. No library, nothing from outside, everything set as text.

const $ = (id) => document.getElementById(id);
const METHODS = ["get", "post", "put", "patch", "delete"];

function make(tag, kind, ...children) {
  const made = document.createElement(tag);
  if (kind) made.className = kind;
  made.append(...children.filter((child) => child !== "" && child !== null && child !== undefined));
  return made;
}

const api = await (await fetch("/openapi.json")).json();
const schemas = (api.components || {}).schemas || {};
$("version").textContent = `version ${api.info.version}`;
$("example").textContent = `curl -H "Authorization: Bearer $CORRAL_TOKEN" ${location.origin}/api/v1/nodes`;

const rooms = new Map();
for (const [path, item] of Object.entries(api.paths)) {
  for (const method of METHODS.filter((name) => item[name])) {
    const room = (item[method].tags || ["other"])[0];
    if (!rooms.has(room)) rooms.set(room, []);
    rooms.get(room).push({ path, method, operation: item[method] });
  }
}
for (const [room, rows] of rooms) {
  const section = make("section", "", make("h2", "", room, make("span", "count", `${rows.length} paths`)));
  section.append(...rows.map(row));
  $("rooms").append(section);
}
$("filter").addEventListener("input", () => {
  const words = $("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const part of document.querySelectorAll("details")) part.hidden = !words.every((word) => part.dataset.words.includes(word));
});

function row({ path, method, operation }) {
  const permission = operation["x-corral-permission"];
  const shown = permission === "public" ? "public" : permission || "any caller";
  const body = make("div", "");
  if (operation.description) body.append(make("p", "", operation.description));
  if ((operation.parameters || []).length) body.append(parameters(operation.parameters));
  const content = operation.requestBody && operation.requestBody.content && operation.requestBody.content["application/json"];
  if (content) body.append(make("div", "soft", "Body"), make("pre", "", outline(content.schema)));
  for (const [status, answer] of Object.entries(operation.responses || {})) {
    if (status[0] !== "2") continue;
    const [kind, given] = Object.entries(answer.content || {})[0] || ["nothing", {}];
    body.append(make("div", "soft", `${status} ${kind}`), given.schema ? make("pre", "", outline(given.schema)) : "");
  }
  const errors = Object.keys(operation.responses || {}).filter((status) => status[0] !== "2");
  if (errors.length) body.append(make("p", "soft", `Errors: ${errors.join(", ")}`));
  const line = make("summary", "", make("span", "method", method.toUpperCase()), make("code", "", path), make("span", "", operation.summary || ""), make("span", "pill", shown));
  const details = make("details", "", line, body);
  details.dataset.words = `${method} ${path} ${operation.summary || ""} ${shown}`.toLowerCase();
  return details;
}

function parameters(list) {
  const rows = list.map((item) => make("tr", "", make("td", "mono", item.name), make("td", "soft", item.in), make("td", "mono", kindOf(item.schema || {})), make("td", "", item.required ? "required" : "", item.description || "")));
  return make("div", "scroll", make("table", "", make("tbody", "", ...rows)));
}

function kindOf(schema) {
  if (schema.$ref) return schema.$ref.split("/").pop();
  const choices = schema.oneOf || schema.anyOf;
  if (choices) return choices.map(kindOf).join(" | ");
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  if (schema.type === "array") return `[${kindOf(schema.items || {})}]`;
  return [].concat(schema.type || "any").join(" | ");
}

function outline(schema, depth = 0, seen = []) {
  const name = schema.$ref ? schema.$ref.split("/").pop() : "";
  if (name) {
    if (seen.includes(name) || !schemas[name]) return name;
    return outline(schemas[name], depth, [...seen, name]);
  }
  const choices = (schema.oneOf || schema.anyOf || []).filter((part) => part.type !== "null");
  if (choices.length === 1) return `${outline(choices[0], depth, seen)} | null`;
  if (schema.type === "array") return `[${outline(schema.items || {}, depth, seen)}]`;
  if (schema.type !== "object" || !schema.properties || depth > 5) return kindOf(schema);
  const pad = "  ".repeat(depth + 1);
  const required = new Set(schema.required || []);
  const lines = Object.entries(schema.properties).map(([key, value]) => `${pad}${key}${required.has(key) ? "" : "?"}: ${outline(value, depth + 1, seen)}`);
  return `{\n${lines.join("\n")}\n${"  ".repeat(depth)}}`;
}
