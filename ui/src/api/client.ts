// Every call to /api/v1: the session's cookie, the CSRF header on writes, one renewal when the session has run out.

export class Problem extends Error {
  readonly status: number;
  readonly hint: string;
  readonly element: string;
  readonly requestId: string;
  readonly details: Record<string, unknown>;

  constructor(status: number, body: ProblemBody) {
    super(body.message || `the server answered ${status}`);
    this.status = status;
    this.hint = body.hint ?? "";
    this.element = body.element ?? "";
    this.requestId = body.request_id ?? "";
    this.details = body.details ?? {};
  }
}

interface ProblemBody {
  message?: string;
  hint?: string | null;
  element?: string | null;
  request_id?: string;
  details?: Record<string, unknown>;
}

export interface Page<T> {
  data: T;
  next: string | null;
}

let csrf = "";
const leftHandlers = new Set<() => void>();

export function keepCsrf(value: string | null | undefined): void {
  csrf = value ?? "";
}

/** Called when a call was refused for want of a session; what is typed stays where it is. */
export function onSessionOver(handler: () => void): () => void {
  leftHandlers.add(handler);
  return () => leftHandlers.delete(handler);
}

export type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
export interface Options {
  body?: unknown;
  bytes?: Blob;
  headers?: Record<string, string>;
  signal?: AbortSignal | undefined;
}

export async function call<T>(method: Method, path: string, options: Options = {}): Promise<T> {
  return (await page<T>(method, path, options)).data;
}

export async function page<T>(method: Method, path: string, options: Options = {}): Promise<Page<T>> {
  let [answer, body] = await once(method, path, options);
  if (sessionIsOver(path, answer, body) && (await refresh())) [answer, body] = await once(method, path, options);
  if (!answer.ok) {
    if (sessionIsOver(path, answer, body)) for (const handler of leftHandlers) handler();
    throw new Problem(answer.status, body as ProblemBody);
  }
  return { data: body["data"] as T, next: (body["next"] as string | null | undefined) ?? null };
}

/** A wrong password is refused with 401 too, and says nothing of the session: sent again it would count as a second guess. */
function sessionIsOver(path: string, answer: Response, body: Record<string, unknown>): boolean {
  return answer.status === 401 && path !== "/login" && !(path === "/me/password" && body["element"] === "password");
}

async function once(method: Method, path: string, options: Options): Promise<[Response, Record<string, unknown>]> {
  const answer = await send(method, path, options);
  const text = await answer.text();
  try {
    return [answer, text ? (JSON.parse(text) as Record<string, unknown>) : {}];
  } catch {
    return [answer, { message: text.slice(0, 200) }];
  }
}

async function send(method: Method, path: string, options: Options): Promise<Response> {
  const headers: Record<string, string> = { Accept: "application/json", ...options.headers };
  let body: BodyInit | undefined;
  if (options.bytes !== undefined) {
    headers["Content-Type"] = "application/octet-stream";
    body = options.bytes;
  } else if (options.body !== undefined) {
    headers["Content-Type"] = "application/json";
    body = JSON.stringify(options.body);
  }
  if (method !== "GET") {
    headers["X-Corral-CSRF"] = csrf;
    if (method === "POST") headers["Idempotency-Key"] ??= newKey();
  }
  try {
    const request: RequestInit = { method, headers, credentials: "same-origin" };
    if (body !== undefined) request.body = body;
    if (options.signal !== undefined) request.signal = options.signal;
    return await fetch(`/api/v1${path}`, request);
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new Problem(0, { message: "cannot reach the server", hint: "is it still running?" });
  }
}

/** crypto.randomUUID exists only on https and localhost; this works everywhere. */
export function newKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

let refreshing: Promise<boolean> | null = null;

/** One renewal at a time: a refresh token is spent by its first use. */
export function refresh(): Promise<boolean> {
  refreshing ??= renew().finally(() => {
    refreshing = null;
  });
  return refreshing;
}

async function renew(): Promise<boolean> {
  const answer = await fetch("/api/v1/refresh", { method: "POST", credentials: "same-origin" });
  if (answer.status === 409) return true; // another tab has just done it
  if (!answer.ok) return false;
  const body = (await answer.json()) as { data: { csrf: string } };
  keepCsrf(body.data.csrf);
  return true;
}

/** `?a=1&b=x` of what is given; empty words are left out. */
export function query(values: Record<string, string | number | boolean | null | undefined>): string {
  const given = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    if (value !== undefined && value !== null && value !== "") given.set(name, String(value));
  }
  const text = given.toString();
  return text ? `?${text}` : "";
}
