// One client for every live view. fetch instead of EventSource: it sees the status, and sends Last-Event-ID on every reconnect,
// also after the page has closed a stream itself.
import { refresh } from "./client";

export interface ServerEvent {
  event: string;
  id: string;
  data: string;
}

export interface Listening {
  onEvent: (event: ServerEvent) => void;
  onState?: (state: "open" | "waiting" | "over" | "refused") => void;
  /** Event names after which there is nothing more to come. */
  endsWith?: readonly string[];
}

/** Follows `path` until closed. Reconnects after 1, 2, 4, 8 s, continuing behind the last id. */
export function listen(path: string, listening: Listening): () => void {
  const stop = new AbortController();
  void follow(path, listening, stop.signal);
  return () => stop.abort();
}

async function follow(path: string, listening: Listening, signal: AbortSignal): Promise<void> {
  let last = "";
  let failures = 0;
  while (!signal.aborted) {
    try {
      const headers: Record<string, string> = { Accept: "text/event-stream" };
      if (last) headers["Last-Event-ID"] = last;
      const answer = await fetch(`/api/v1${path}`, { headers, credentials: "same-origin", signal });
      if (answer.status === 401 && failures === 0 && (await refresh())) {
        failures += 1;
        continue;
      }
      if (answer.status >= 400 && answer.status < 500) {
        listening.onState?.("refused");
        return;
      }
      if (!answer.ok || answer.body === null) throw new Error(String(answer.status));
      listening.onState?.("open");
      failures = 0;
      let over = false;
      for await (const event of events(answer.body)) {
        if (event.id) last = event.id;
        listening.onEvent(event);
        if (listening.endsWith?.includes(event.event)) over = true;
      }
      if (over) {
        listening.onState?.("over");
        return;
      }
    } catch {
      if (signal.aborted) return;
    }
    listening.onState?.("waiting");
    await pause(Math.min(8000, 1000 * 2 ** failures), signal);
    failures += 1;
  }
}

async function* events(body: ReadableStream<Uint8Array>): AsyncGenerator<ServerEvent> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const taken = take(rest + decoder.decode(value, { stream: true }));
      rest = taken.rest;
      yield* taken.events;
    }
  } finally {
    void reader.cancel().catch(() => undefined);
  }
}

/** The whole events at the beginning of `text`, and what is left. Our server writes \n only. */
export function take(text: string): { events: ServerEvent[]; rest: string } {
  const blocks = text.split("\n\n");
  const rest = blocks.pop() ?? "";
  const found: ServerEvent[] = [];
  for (const block of blocks) {
    let event = "message";
    let id = "";
    const data: string[] = [];
    for (const line of block.split("\n")) {
      const colon = line.indexOf(":");
      if (colon <= 0) continue;
      const value = line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
      const name = line.slice(0, colon);
      if (name === "event") event = value;
      else if (name === "id") id = value;
      else if (name === "data") data.push(value);
    }
    if (data.length > 0) found.push({ event, id, data: data.join("\n") });
  }
  return { events: found, rest };
}

function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
