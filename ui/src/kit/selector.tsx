// A selector's field. It is asked for when the typing rests; the server's error stands under its column.
import { useEffect, useId, useMemo, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { Problem } from "../api/client";
import { useSomeNodes } from "../data/nodes";
import { useMay } from "../data/session";
import { continued, termsOf } from "../text/terms";

/** Up to this length the field itself shows what the caret points at. */
const FITS = 90;

interface Props {
  value: string;
  onChange: (value: string) => void;
  /** Every stroke, for whoever must never act on an older text. */
  onText?: (text: string) => void;
  error?: unknown;
  label: string;
  placeholder?: string;
}

export function SelectorField({ value, onChange, onText, error, label, placeholder }: Props) {
  const [text, setText] = useState(value);
  const sent = useRef(value);
  const offers = useId();
  const mayLook = useMay("node.read");
  const [entered, setEntered] = useState(false);
  const nodes = useSomeNodes(mayLook && entered);
  const terms = useMemo(() => termsOf(nodes.data ?? []), [nodes.data]);
  useEffect(() => {
    if (value !== sent.current) setText(value);
    sent.current = value;
  }, [value]);
  useEffect(() => {
    if (text === sent.current) return;
    const timer = setTimeout(() => {
      sent.current = text;
      onChange(text);
    }, 250);
    return () => clearTimeout(timer);
  }, [text, onChange]);
  const wrong = error instanceof Problem && error.status === 400;
  return (
    <div className="grow">
      <input
        className="mono selector"
        style={{ width: "100%" }}
        value={text}
        onChange={(event) => {
          setText(event.target.value);
          onText?.(event.target.value);
        }}
        aria-label={label}
        aria-invalid={wrong}
        placeholder={placeholder}
        spellCheck={false}
        autoCapitalize="off"
        autoComplete="off"
        list={offers}
        onFocus={() => setEntered(true)}
        data-filter="true"
      />
      <datalist id={offers}>
        {continued(text, terms).map((word) => (
          <option key={word} value={word} />
        ))}
      </datalist>
      {wrong && <SelectorTrouble problem={error} />}
    </div>
  );
}

function SelectorTrouble({ problem }: { problem: Problem }) {
  const { t } = useTranslation();
  const column = typeof problem.details["column"] === "number" ? problem.details["column"] : null;
  const text = typeof problem.details["text"] === "string" ? problem.details["text"] : "";
  return (
    <div role="alert" className="small" style={{ marginTop: 4 }}>
      {column !== null && (
        <pre className="caret" aria-hidden="true">
          {text.length > FITS && `${text}\n`}
          {" ".repeat(Math.max(0, column - 1))}^
        </pre>
      )}
      <span style={{ color: "var(--bad)" }}>{problem.message}</span>
      {problem.hint && <span className="muted"> {t("kit.hint", { hint: problem.hint })}</span>}
    </div>
  );
}
