// A cell a node on one canvas: no element per node, so thousands stay smooth. Colour and letter both say the state.
import { useEffect, useMemo, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { look } from "../kit/states";
import { cellAt, layout, step } from "./cells";
import { usePaints } from "./paint";

interface Props {
  groups: readonly (readonly [string, readonly string[]])[];
  stateOf: (id: string) => string;
  tip: (id: string) => string;
  onOpen: (id: string) => void;
  selected?: string | undefined;
  label: string;
}

const LETTERS_FROM = 15;

export function Cells({ groups, stateOf, tip, onOpen, selected, label }: Props) {
  const { t } = useTranslation();
  const box = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const [width, setWidth] = useState(0);
  const [over, setOver] = useState<{ id: string; x: number; y: number } | null>(null);
  const paints = usePaints();
  const found = useMemo(() => layout(groups, Math.max(width, 80)), [groups, width]);

  useEffect(() => {
    const watched = box.current;
    if (watched === null) return;
    const observer = new ResizeObserver(([entry]) => setWidth(Math.floor(entry?.contentRect.width ?? 0)));
    observer.observe(watched);
    return () => observer.disconnect();
  }, []);

  useEffect(() => {
    const target = canvas.current;
    const pen = target?.getContext("2d");
    if (!target || !pen || width === 0) return;
    const frame = requestAnimationFrame(() => {
      const scale = window.devicePixelRatio || 1;
      const wanted = [Math.floor(width * scale), Math.ceil(found.height * scale)] as const;
      if (target.width !== wanted[0] || target.height !== wanted[1]) [target.width, target.height] = wanted;
      pen.setTransform(scale, 0, 0, scale, 0, 0);
      pen.clearRect(0, 0, width, found.height);
      pen.textBaseline = "top";
      pen.textAlign = "left";
      pen.font = "600 12px system-ui, sans-serif";
      for (const block of found.blocks) {
        if (!block.name) continue;
        pen.fillStyle = paints.text;
        pen.fillText(block.name, block.x, block.y + 2);
        pen.fillStyle = paints.muted;
        pen.fillText(String(block.count), block.x + pen.measureText(block.name).width + 7, block.y + 2);
      }
      const letters = found.size >= LETTERS_FROM;
      pen.textBaseline = "middle";
      pen.textAlign = "center";
      pen.font = `700 ${Math.round(found.size * 0.5)}px system-ui, sans-serif`;
      for (const cell of found.cells) {
        const { tone, letter } = look(stateOf(cell.id));
        pen.fillStyle = paints[tone];
        pen.fillRect(cell.x, cell.y, found.size, found.size);
        if (letters) {
          pen.fillStyle = paints.panel;
          pen.fillText(letter, cell.x + found.size / 2, cell.y + found.size / 2 + 1);
        }
        if (cell.id === selected || cell.id === over?.id) {
          pen.strokeStyle = paints.text;
          pen.lineWidth = 2;
          pen.strokeRect(cell.x + 1, cell.y + 1, found.size - 2, found.size - 2);
        }
      }
    });
    return () => cancelAnimationFrame(frame);
  }, [found, stateOf, paints, width, selected, over?.id]);

  const at = (event: React.MouseEvent) => {
    const edge = event.currentTarget.getBoundingClientRect();
    return cellAt(found, event.clientX - edge.left, event.clientY - edge.top);
  };
  const press = (event: React.KeyboardEvent) => {
    if (event.key === "Enter" && over) onOpen(over.id);
    else if (event.key === "Escape") setOver(null);
    else {
      const cell = step(found, over?.id ?? selected, event.key);
      if (cell === undefined) return;
      setOver({ id: cell.id, x: cell.x, y: cell.y });
    }
    event.preventDefault();
  };
  return (
    <div className="picture" ref={box} tabIndex={0} role="group" aria-label={t("kit.cells")} onKeyDown={press} onBlur={() => setOver(null)}>
      <span className="hidden" aria-live="polite">
        {over ? tip(over.id) : ""}
      </span>
      <canvas
        ref={canvas}
        role="img"
        aria-label={label}
        style={{ height: found.height }}
        onMouseMove={(event) => {
          const cell = at(event);
          setOver((before) => (before?.id === cell?.id ? before : cell ? { id: cell.id, x: cell.x, y: cell.y } : null));
        }}
        onMouseLeave={() => setOver(null)}
        onClick={(event) => {
          const cell = at(event);
          if (cell) onOpen(cell.id);
        }}
      />
      {over && (
        <div className="tip" aria-hidden="true" style={{ left: Math.min(over.x, Math.max(0, width - 240)), top: over.y + found.size + 5 }}>
          {tip(over.id)}
        </div>
      )}
    </div>
  );
}
