// Ranges of one stream of one attempt, put in order: they come twice, overlap and overtake each other. A hole is named, never silent.

const HOLD_BYTES = 2 << 20;

export type Part = { bytes: Uint8Array } | { gap: number; dropped: boolean };

export class Assembler {
  position = 0;
  private waiting: { offset: number; bytes: Uint8Array; skipped: number }[] = [];
  private held = 0;

  feed(offset: number, bytes: Uint8Array, skipped: number): Part[] {
    if (offset + bytes.length <= this.position && bytes.length > 0) return [];
    this.waiting.push({ offset, bytes, skipped });
    this.held += bytes.length;
    if (this.waiting.length > 1) this.waiting.sort((a, b) => a.offset - b.offset);
    const parts = this.ready();
    while (this.held > HOLD_BYTES) parts.push(...this.jump());
    return parts;
  }

  /** No more will come: what was held back, its holes named. */
  finish(): Part[] {
    const parts: Part[] = [];
    while (this.waiting.length > 0) parts.push(...this.jump());
    return parts;
  }

  private ready(): Part[] {
    const parts: Part[] = [];
    for (;;) {
      const first = this.waiting[0];
      if (first === undefined) return parts;
      const begin = first.offset - first.skipped;
      if (begin > this.position && first.offset > this.position) return parts;
      this.waiting.shift();
      this.held -= first.bytes.length;
      if (first.offset > this.position) {
        parts.push({ gap: first.offset - this.position, dropped: true });
        this.position = first.offset;
      }
      const fresh = first.bytes.subarray(this.position - first.offset);
      if (fresh.length > 0) parts.push({ bytes: fresh });
      this.position = Math.max(this.position, first.offset + first.bytes.length);
    }
  }

  private jump(): Part[] {
    const first = this.waiting[0];
    if (first === undefined) return [];
    const begin = first.offset - first.skipped;
    const gap = begin - this.position;
    this.position = Math.max(this.position, begin);
    return gap > 0 ? [{ gap, dropped: false }, ...this.ready()] : this.ready();
  }
}

/** 64 bits of FNV-1a, two lanes: outputs too long to keep are told apart by it and their length. */
export class Digest {
  private high = 0x811c9dc5;
  private low = 0xc9dc5811;

  update(bytes: Uint8Array): void {
    let { high, low } = this;
    for (let index = 0; index < bytes.length; index += 1) {
      const byte = bytes[index] as number;
      high = Math.imul(high ^ byte, 0x01000193);
      low = Math.imul(low ^ byte, 0x85ebca6b) + high;
    }
    this.high = high;
    this.low = low;
  }

  get value(): string {
    return `${(this.high >>> 0).toString(16)}${(this.low >>> 0).toString(16)}`;
  }
}
