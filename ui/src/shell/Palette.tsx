// ⌘K: pages, nodes that are known, a command to run on a selector.
import { useEffect, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { useNavigate } from "react-router";
import { useNodes } from "../data/nodes";
import { PLACES } from "./places";

const NODES_SHOWN = 8;

export function Palette({ open, onClose }: { open: boolean; onClose: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const { t } = useTranslation();
  useEffect(() => {
    if (open && !dialog.current?.open) dialog.current?.showModal();
    if (!open && dialog.current?.open) dialog.current.close();
  }, [open]);
  return (
    <dialog ref={dialog} className="palette" onClose={onClose} aria-label={t("shell.palette")}>
      {open && <Choices onClose={onClose} />}
    </dialog>
  );
}

function Choices({ onClose }: { onClose: () => void }) {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const nodes = useNodes("");
  const [text, setText] = useState("");
  const [at, setAt] = useState(0);
  const wanted = text.trim().toLowerCase();
  const choices = [
    ...PLACES.map(({ name, path }) => ({ words: t(`place.${name}`), kind: t("palette.page"), path })),
    { words: t("palette.failed_jobs"), kind: t("palette.page"), path: "/jobs?state=failed" },
    { words: t("palette.offline_nodes"), kind: t("palette.page"), path: "/nodes?presence=offline" },
    ...(wanted ? (nodes.data ?? []) : []).map(({ id }) => ({ words: id, kind: t("palette.node"), path: `/nodes/${encodeURIComponent(id)}` })),
  ].filter(({ words }) => words.toLowerCase().includes(wanted));
  const shown = choices.slice(0, PLACES.length + NODES_SHOWN);
  if (wanted) shown.push({ words: t("palette.run", { command: text.trim() }), kind: t("palette.action"), path: `/run?command=${encodeURIComponent(text.trim())}` });
  const take = (index: number) => {
    const choice = shown[index];
    if (!choice) return;
    onClose();
    void navigate(choice.path);
  };
  return (
    <>
      <input
        autoFocus
        value={text}
        placeholder={t("palette.ask")}
        aria-label={t("palette.ask")}
        role="combobox"
        aria-expanded="true"
        aria-controls="palette-choices"
        aria-activedescendant={`palette-${at}`}
        onChange={(event) => {
          setText(event.target.value);
          setAt(0);
        }}
        onKeyDown={(event) => {
          if (event.key === "ArrowDown" || event.key === "ArrowUp") {
            event.preventDefault();
            setAt((before) => (before + (event.key === "ArrowDown" ? 1 : shown.length - 1)) % Math.max(1, shown.length));
          } else if (event.key === "Enter") take(at);
        }}
      />
      <ul id="palette-choices" role="listbox" aria-label={t("shell.palette")}>
        {shown.map((choice, index) => (
          <li key={choice.kind + choice.path + choice.words} id={`palette-${index}`} role="option" aria-selected={index === at} onClick={() => take(index)} onMouseEnter={() => setAt(index)}>
            <span className="break">{choice.words}</span>
            <span className="muted small">{choice.kind}</span>
          </li>
        ))}
      </ul>
    </>
  );
}
