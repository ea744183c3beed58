// Some of several words: a box each. Words that were chosen and are not offered any more stay, so that saving does not drop them.
import type { ReactNode } from "react";

interface Props {
  legend: string;
  about?: ReactNode;
  words: readonly string[];
  chosen: readonly string[];
  onChange: (chosen: string[]) => void;
}

export function Choices({ legend, about, words, chosen, onChange }: Props) {
  const all = [...words, ...chosen.filter((word) => !words.includes(word))];
  return (
    <fieldset className="choices">
      <legend>{legend}</legend>
      <div>
        {all.map((word) => (
          <label key={word} className="mono">
            <input
              type="checkbox"
              checked={chosen.includes(word)}
              onChange={(event) => onChange(event.target.checked ? all.filter((one) => one === word || chosen.includes(one)) : chosen.filter((one) => one !== word))}
            />
            {word}
          </label>
        ))}
      </div>
      {about && <span className="small muted">{about}</span>}
    </fieldset>
  );
}
