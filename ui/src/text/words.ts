// A command line as words, the way a shell splits it, and back: what argv mode sends, and what "copy as CLI command" writes.

/** null when a quote is not closed. */
export function split(line: string): string[] | null {
  const words: string[] = [];
  let word = "";
  let started = false;
  let quote = "";
  for (let at = 0; at < line.length; at += 1) {
    const character = line[at] as string;
    if (quote === "'") {
      if (character === "'") quote = "";
      else word += character;
    } else if (quote === '"') {
      if (character === '"') quote = "";
      else if (character === "\\" && '"\\$`'.includes(line[at + 1] ?? "x")) {
        at += 1;
        word += line[at];
      } else word += character;
    } else if (character === "'" || character === '"') {
      quote = character;
      started = true;
    } else if (character === "\\" && at + 1 < line.length) {
      at += 1;
      word += line[at];
      started = true;
    } else if (/\s/.test(character)) {
      if (started) words.push(word);
      word = "";
      started = false;
    } else {
      word += character;
      started = true;
    }
  }
  if (quote !== "") return null;
  if (started) words.push(word);
  return words;
}

export function quoted(word: string): string {
  return /^[A-Za-z0-9@%_+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** Characters that mean something to a shell only: in argv mode they are passed on as they are. */
export function shellish(line: string): boolean {
  return /[|&;<>$`*?~]/.test(line.replace(/'[^']*'/g, ""));
}
