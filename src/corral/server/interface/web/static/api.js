// Calls to /api/v1 with the session cookie: the CSRF header on writes, one refresh when the session has run out.

let csrf = "";

export class Problem extends Error {
  constructor(status, body) {
    super(body.message || `the server answered ${status}`);
    this.status = status;
    this.hint = body.hint || "";
  }
}

export async function call(method, path, body, again = true) {
  const headers = { Accept: "application/json" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (method !== "GET") {
    headers["X-Corral-CSRF"] = csrf;
    headers["Idempotency-Key"] = newKey();
  }
  const answer = await fetch(`/api/v1${path}`, {
    method, headers, credentials: "same-origin", body: body === undefined ? undefined : JSON.stringify(body),
  });
  if (answer.status === 401 && again && (await refresh())) return call(method, path, body, false);
  const text = await answer.text();
  let data = {};
  try { data = text ? JSON.parse(text) : {}; } catch { data = { message: text.slice(0, 200) }; }
  if (!answer.ok) throw new Problem(answer.status, data);
  return data.data;
}

// crypto.randomUUID exists only on https and localhost; this works everywhere.
function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export async function refresh() {
  const answer = await fetch("/api/v1/refresh", { method: "POST", credentials: "same-origin" });
  if (answer.status === 409) return true; // another tab has just done it
  if (!answer.ok) return false;
  csrf = (await answer.json()).data.csrf;
  return true;
}

export async function whoami() {
  const me = await call("GET", "/whoami");
  csrf = me.csrf || "";
  return me;
}
