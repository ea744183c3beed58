import { expect, it } from "vitest";
import { listed, naming, parts, SELECTOR_MAX } from "./selectors";

const ids = (count: number) => Array.from({ length: count }, (_, number) => `node-${String(number).padStart(5, "0")}`);

it("names nodes in selectors the server takes, each node once", () => {
  for (const count of [0, 1, 372, 373, 5000]) {
    const made = parts(ids(count));
    expect(made.flat()).toEqual(ids(count));
    expect(made.every((part) => part.length > 0 && part.join(",").length <= SELECTOR_MAX)).toBe(true);
  }
  const even = parts(Array.from({ length: 64 }, (_, number) => String(number).padStart(64, "x")));
  expect(even.map((part) => part.length)).toEqual([63, 1]);
});

it("names nodes in one selector, or says that it cannot", () => {
  expect(naming(["a", "b"])).toBe("a,b");
  expect(naming([])).toBeNull();
  expect(naming(ids(5000))).toBeNull();
});

it("says what a list shows, and nothing that means more", () => {
  expect(listed("", "")).toBe("all");
  expect(listed("web-* or db-1", "online")).toBe("(web-* or db-1) and online");
  expect(listed("", "online")).toBe("online");
  expect(listed("web-*", "offline")).toBeNull();
  expect(listed("", "unknown")).toBeNull();
});
