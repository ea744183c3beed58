import { describe, expect, it } from "vitest";
import { Sha256 } from "./sha256";

describe("Sha256", () => {
  it("gives the digests of the standard's examples", () => {
    expect(new Sha256().hex()).toBe("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    expect(new Sha256().update(new TextEncoder().encode("abc")).hex()).toBe("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  });

  it("agrees with another implementation at every length around a block, in pieces of any size", async () => {
    for (let length = 0; length < 200; length += 1) {
      const bytes = Uint8Array.from({ length }, (_, index) => (index * 31 + length) & 255);
      const own = new Sha256();
      for (let at = 0; at < length; at += 1 + (length % 7)) own.update(bytes.subarray(at, at + 1 + (length % 7)));
      const expected = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
      expect(own.hex()).toBe(Array.from(expected, (byte) => byte.toString(16).padStart(2, "0")).join(""));
    }
  });
});
