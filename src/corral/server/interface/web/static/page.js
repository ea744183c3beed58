// The first page: nodes, recent jobs, one command at a time with live output. Everything shown is set as text.

import { call, refresh, whoami } from "./api.js";
import { Output } from "./output.js";

const REFRESH_MS = 5000;
const SESSION_MS = 10 * 60 * 1000;
const SHOWN_NODES = 500;
const $ = (id) => document.getElementById(id);
const output = new Output($("groups"));
let events = null;
let job = null;

start();

async function start() {
  try {
    const me = await whoami();
    $("who").textContent = me.name;
    $("logout").hidden = me.kind !== "session";
    for (const part of document.querySelectorAll("[data-inside]")) part.hidden = false;
  } catch (error) {
    $("login").hidden = error.status !== 401;
    $("summary").textContent = error.status === 401 ? "" : error.message;
    return;
  }
  $("run").addEventListener("submit", run);
  $("cancel").addEventListener("click", cancel);
  $("logout").addEventListener("click", logout);
  for (const id of ["target", "command"]) $(id).addEventListener("input", preview);
  setInterval(refresh, SESSION_MS);
  preview();
  for (;;) {
    await Promise.all([showNodes(), showJobs()]).catch((error) => {
      if (error.status === 401) location.reload();
      $("summary").textContent = `cannot refresh: ${error.message}`;
    });
    await new Promise((done) => setTimeout(done, REFRESH_MS));
  }
}

async function showNodes() {
  const nodes = await call("GET", `/nodes?limit=${SHOWN_NODES}`);
  const online = nodes.filter((node) => node.presence === "online").length;
  const more = nodes.length === SHOWN_NODES ? "+" : "";
  $("nodes-count").textContent = `${online} online of ${nodes.length}${more}`;
  $("summary").textContent = `${online}/${nodes.length}${more} nodes online`;
  fill($("nodes"), nodes, "no node yet: corral token create, then corral agent enroll on a machine", (node) => [
    cell(node.id, "mono"),
    cell(node.revoked ? "revoked" : node.presence, `state ${node.revoked ? "lost" : node.presence}`, node.presence_reason),
    cell(node.worker, `state ${node.worker}`),
    cell(ago(node.presence_since), "soft", node.presence_since),
    cell(Object.entries(node.labels || {}).map(([key, value]) => `${key}=${value}`).join(" "), "mono"),
    cell((node.groups || []).join(" ")),
    cell(node.version || "", "soft"),
  ]);
}

async function showJobs() {
  const jobs = await call("GET", "/jobs?limit=20");
  fill($("jobs"), jobs, "no job yet", (row) => [
    linked(row.job, () => watch(row)),
    cell(row.state, `state ${row.state}`),
    cell(row.command || row.name, "mono"),
    cell(row.target, "mono"),
    cell(Object.entries(row.counts || {}).filter(([, n]) => n).map(([state, n]) => `${n} ${state}`).join(", ")),
    cell(ago(row.created_at), "soft", row.created_at),
    cell(row.created_by, "soft"),
  ]);
}

let asked = 0;
async function preview() {
  const mine = ++asked;
  await new Promise((done) => setTimeout(done, 250));
  if (mine !== asked) return;
  const target = $("target").value.trim();
  if (!target) return;
  try {
    const found = await call("POST", "/nodes/resolve", { selector: target });
    if (mine !== asked) return;
    const offline = found.offline.length ? `, ${found.offline.length} of them offline: those wait up to an hour` : "";
    $("hint").textContent = `${found.nodes.length} ${found.nodes.length === 1 ? "node" : "nodes"}${offline}. Runs through sh, as the agent's user.`;
  } catch (error) {
    if (mine === asked) $("hint").textContent = error.message;
  }
}

async function run(event) {
  event.preventDefault();
  $("problem").hidden = true;
  $("go").disabled = true;
  try {
    watch(await call("POST", "/jobs", { target: $("target").value.trim(), shell: $("command").value }));
    showJobs();
  } catch (error) {
    $("problem").textContent = error.hint ? `${error.message} — ${error.hint}` : error.message;
    $("problem").hidden = false;
  } finally {
    $("go").disabled = false;
  }
}

function watch(row) {
  if (events) events.close();
  job = row.job;
  output.clear();
  $("live").hidden = false;
  $("live-title").textContent = `${row.job}  ${row.command || ""}`;
  progress(row);
  events = new EventSource(`/api/v1/jobs/${encodeURIComponent(row.job)}/events?output=1`);
  on("snapshot", (data) => { progress(data.job); for (const task of data.tasks) output.task(task); });
  on("task", (data) => { for (const task of data.tasks) output.task(task); });
  on("output", (data) => output.chunk(data));
  on("job", progress);
  on("end", (data) => { progress(data); events.close(); showJobs(); });
  events.onerror = () => { if (events.readyState === EventSource.CLOSED) $("live-state").textContent += " (no live view)"; };
}

function on(name, act) {
  const source = events;
  source.addEventListener(name, (event) => { if (source === events) act(JSON.parse(event.data)); });
}

function progress(row) {
  const counts = Object.entries(row.counts || {}).filter(([, n]) => n).map(([state, n]) => `${n} ${state}`).join(", ");
  $("live-state").textContent = `${row.state}${counts ? `: ${counts}` : ""}`;
  $("live-state").className = `state ${row.state}`;
  $("cancel").hidden = row.state !== "open";
}

async function cancel() {
  try { await call("POST", `/jobs/${encodeURIComponent(job)}/cancel`, {}); } catch (error) { $("live-state").textContent = error.message; }
}

async function logout() {
  await call("POST", "/logout", {}).catch(() => {});
  location.reload();
}

function fill(place, rows, nothing, cells) {
  if (!rows.length) {
    const empty = cell(nothing, "soft");
    empty.colSpan = 9;
    const line = document.createElement("tr");
    line.append(empty);
    place.replaceChildren(line);
    return;
  }
  place.replaceChildren(...rows.map((row) => {
    const line = document.createElement("tr");
    line.append(...cells(row));
    return line;
  }));
}

function cell(text, kind = "", title = "") {
  const made = document.createElement("td");
  made.textContent = text || "";
  if (kind) made.className = kind;
  if (title) made.title = title;
  return made;
}

function linked(text, act) {
  const made = cell("", "mono");
  const button = document.createElement("button");
  button.className = "plain mono";
  button.type = "button";
  button.textContent = text;
  button.title = "Show its output";
  button.addEventListener("click", act);
  made.append(button);
  return made;
}

function ago(time) {
  if (!time) return "";
  const seconds = Math.max(0, Math.round((Date.now() - Date.parse(time)) / 1000));
  for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "min"]]) {
    if (seconds >= size) return `${Math.floor(seconds / size)} ${unit} ago`;
  }
  return `${seconds} s ago`;
}
