import { expect, it } from "vitest";
import { take } from "./sse";

it("takes whole events and keeps the rest", () => {
  const taken = take('event: task\ndata: {"a":1}\n\n: keepalive\n\nevent: output\nid: 7\ndata: x\ndata: y\n\nevent: ta');
  expect(taken.events).toEqual([
    { event: "task", id: "", data: '{"a":1}' },
    { event: "output", id: "7", data: "x\ny" },
  ]);
  expect(taken.rest).toBe("event: ta");
});
