// Output of many nodes, grouped: nodes that wrote the same bytes share one block. Text only, never HTML.

const SHOWN_CHARACTERS = 20000;

export class Output {
  constructor(place) {
    this.place = place;
    this.nodes = new Map(); // node → { text, seen: Set of "attempt stream offset", state, note }
    this.drawing = false;
  }

  clear() {
    this.nodes.clear();
    this.place.replaceChildren();
  }

  task(task) {
    const node = this.node(task.node);
    node.state = task.state;
    const code = task.exit_code === null || task.exit_code === undefined ? "" : ` (exit ${task.exit_code})`;
    node.note = task.state === "succeeded" ? "" : `${task.state}${task.exit_code ? code : ""}${task.reason_text ? `: ${task.reason_text}` : ""}`;
    this.later();
  }

  chunk(chunk) {
    const node = this.node(chunk.node);
    const key = `${chunk.attempt} ${chunk.stream} ${chunk.offset}`;
    if (node.seen.has(key)) return;
    node.seen.add(key);
    if (chunk.skipped) node.text += `\n… ${chunk.skipped} bytes left out …\n`;
    if (node.text.length < SHOWN_CHARACTERS) node.text += node.decode(chunk.attempt + chunk.stream, bytes(chunk.data));
    this.later();
  }

  node(id) {
    if (!this.nodes.has(id)) {
      const decoders = new Map(); // one a stream: a character may be cut between two chunks
      this.nodes.set(id, {
        text: "", seen: new Set(), state: "queued", note: "",
        decode(stream, data) {
          if (!decoders.has(stream)) decoders.set(stream, new TextDecoder());
          return decoders.get(stream).decode(data, { stream: true });
        },
      });
    }
    return this.nodes.get(id);
  }

  later() {
    if (this.drawing) return;
    this.drawing = true;
    requestAnimationFrame(() => { this.drawing = false; this.draw(); });
  }

  draw() {
    const groups = new Map();
    for (const [id, node] of this.nodes) {
      const key = `${node.state}\u0000${node.note}\u0000${node.text}`;
      if (!groups.has(key)) groups.set(key, { node, ids: [] });
      groups.get(key).ids.push(id);
    }
    const blocks = [...groups.values()].sort((a, b) => b.ids.length - a.ids.length).map(({ node, ids }) => {
      const block = document.createElement("div");
      block.className = "group";
      const who = document.createElement("div");
      who.className = `who ${node.state}`;
      const names = ids.length <= 4 ? ids.join(", ") : `${ids.slice(0, 3).join(", ")} and ${ids.length - 3} more`;
      who.textContent = `${ids.length} ${ids.length === 1 ? "node" : "nodes"}: ${names}${node.note ? ` — ${node.note}` : ""}`;
      block.append(who);
      if (node.text) {
        const text = document.createElement("pre");
        text.textContent = node.text;
        block.append(text);
      }
      return block;
    });
    this.place.replaceChildren(...blocks);
  }
}

function bytes(base64) {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}
