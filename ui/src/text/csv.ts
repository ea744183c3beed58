// A table as CSV (RFC 4180). What a spreadsheet would take for a formula is made text: labels and facts are what somebody else wrote.

/** A tab or a carriage return in front hides the sign from us and not from a spreadsheet. */
const FORMULA = /^[=+\-@\t\r]/;

export function csv(rows: readonly (readonly string[])[]): string {
  return rows.map((row) => `${row.map(cell).join(",")}\r\n`).join("");
}

function cell(text: string): string {
  const safe = FORMULA.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) || safe !== safe.trim() ? `"${safe.replaceAll('"', '""')}"` : safe;
}
