import { expect, it } from "vitest";
import { clockOf, momentOf } from "./moment";

const began = new Date(2026, 10, 21, 23, 59, 30).getTime() / 1000;

it("reads how long after the beginning", () => {
  expect(momentOf("+90", began)).toBe(began + 90);
  expect(momentOf("+1:30", began)).toBe(began + 90);
  expect(momentOf(" +1:00:00.5 s", began)).toBe(began + 3600.5);
});
it("reads a time of day, of the next day when it is long before the beginning", () => {
  expect(momentOf("23:59:45", began)).toBe(began + 15);
  expect(momentOf("0:01", began)).toBe(began + 90);
  expect(momentOf("23:59", began)).toBe(began - 30);
});
it("knows what is no moment", () => {
  for (const text of ["", "soon", "25:00", "12:60", "90", "+", "1:2"]) expect(momentOf(text, began)).toBeNull();
});
it("writes a time of day to the millisecond", () => expect(clockOf(began + 0.25)).toBe("23:59:30.250"));
