// One row of output as text nodes and spans of our own classes. Nothing of it is ever HTML.
import { memo } from "react";
import { classes, parseLine, visible, type Style } from "../text/sgr";

export const Ansi = memo(function Ansi({ text, start, find = "" }: { text: string; start: Style; find?: string }) {
  if (find === "" && !text.includes("\x1b") && start.fg < 0 && start.bg < 0 && !start.bold) return <>{visible(text)}</>;
  return (
    <>
      {parseLine(text, start).pieces.map((piece, index) => {
        const names = classes(piece.style);
        const inside = find === "" ? piece.text : marked(piece.text, find);
        return names === "" ? <span key={index}>{inside}</span> : <span key={index} className={names}>{inside}</span>;
      })}
    </>
  );
});

function marked(text: string, find: string) {
  const lower = text.toLowerCase();
  const parts = [];
  let from = 0;
  for (let at = lower.indexOf(find); at >= 0 && parts.length < 200; at = lower.indexOf(find, from)) {
    parts.push(text.slice(from, at), <mark key={at}>{text.slice(at, at + find.length)}</mark>);
    from = at + find.length;
  }
  parts.push(text.slice(from));
  return parts;
}
