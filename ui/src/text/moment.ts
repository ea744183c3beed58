// A moment somebody typed to jump to in a log: "14:03", "14:03:22.5", or "+90" and "+1:30" from its beginning. Pure.

const CLOCK = /^(\d{1,2}):(\d{2})(?::(\d{2}(?:\.\d{1,3})?))?$/;
const AFTER = /^\+(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d{1,3})?)\s*s?$/;
const DAY = 86_400;

/** Seconds since the epoch; null when it is no moment. A time of day is the first such after the beginning. */
export function momentOf(text: string, beginning: number): number | null {
  const typed = text.trim();
  const after = AFTER.exec(typed);
  if (after !== null) return beginning + Number(after[1] ?? 0) * 3600 + Number(after[2] ?? 0) * 60 + Number(after[3]);
  const clock = CLOCK.exec(typed);
  if (clock === null) return null;
  const [hours, minutes, seconds] = [Number(clock[1]), Number(clock[2]), Number(clock[3] ?? 0)];
  if (hours > 23 || minutes > 59 || seconds >= 60) return null;
  const at = new Date(beginning * 1000).setHours(hours, minutes, 0, 0) / 1000 + seconds;
  // Whoever types 14:03 of a log that began at 14:03:30 means its beginning, not tomorrow.
  return at < beginning - 60 ? at + DAY : at;
}

/** The time of day, to the millisecond: as a log has it. */
export function clockOf(at: number): string {
  const moment = new Date(at * 1000);
  const two = (number: number) => String(number).padStart(2, "0");
  return `${two(moment.getHours())}:${two(moment.getMinutes())}:${two(moment.getSeconds())}.${String(moment.getMilliseconds()).padStart(3, "0")}`;
}
