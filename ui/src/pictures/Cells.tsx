// A cell a node on one canvas: no element per node, so thousands stay smooth. Colour and letter both say the state.
import { useEffect, useMemo, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { look } from "../kit/states";
import { boxOf, type Box, cellAt, cellsIn, layout, step } from "./cells";
import { usePaints } from "./paint";

interface Props {
  groups: readonly (readonly [string, readonly string[]])[];
  stateOf: (id: string) => string;
  tip: (id: string) => string;
  onOpen: (id: string) => void;
  selected?: string | undefined;
  /** Those that stand out, the others stepping back. */
  chosen?: ReadonlySet<string> | undefined;
  /** With it a box can be drawn over cells, and Space gives the one under the cursor. */
  onBrush?: ((ids: readonly string[]) => void) | undefined;
  label: string;
}

const LETTERS_FROM = 15;
/** From here on a press that moves is a box and no click. */
const DRAG_PIXELS = 5;
const NOBODY: ReadonlySet<string> = new Set();

export function Cells({ groups, stateOf, tip, onOpen, selected, chosen = NOBODY, onBrush, label }: Props) {
  const { t } = useTranslation();
  const box = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const [width, setWidth] = useState(0);
  const [over, setOver] = useState<{ id: string; x: number; y: number } | null>(null);
  const pressed = useRef<{ x: number; y: number } | null>(null);
  const dragged = useRef(false);
  const [brush, setBrush] = useState<Box | null>(null);
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
        const picked = chosen.has(cell.id);
        pen.globalAlpha = chosen.size > 0 && !picked ? 0.4 : 1;
        pen.fillStyle = paints[tone];
        pen.fillRect(cell.x, cell.y, found.size, found.size);
        if (letters) {
          pen.fillStyle = paints.panel;
          pen.fillText(letter, cell.x + found.size / 2, cell.y + found.size / 2 + 1);
        }
        pen.globalAlpha = 1;
        if (picked || cell.id === selected || cell.id === over?.id) {
          pen.strokeStyle = paints.text;
          pen.lineWidth = 2;
          pen.strokeRect(cell.x + 1, cell.y + 1, found.size - 2, found.size - 2);
        }
      }
    });
    return () => cancelAnimationFrame(frame);
  }, [found, stateOf, paints, width, selected, chosen, over?.id]);

  const point = (event: React.MouseEvent) => {
    const edge = event.currentTarget.getBoundingClientRect();
    return { x: event.clientX - edge.left, y: event.clientY - edge.top };
  };
  const at = (event: React.MouseEvent) => {
    const { x, y } = point(event);
    return cellAt(found, x, y);
  };
  const move = (event: React.PointerEvent) => {
    const from = pressed.current;
    const box = from && boxOf(from, point(event));
    if (box && (brush || box.width > DRAG_PIXELS || box.height > DRAG_PIXELS)) {
      if (!brush) event.currentTarget.setPointerCapture(event.pointerId);
      dragged.current = true;
      setOver(null);
      return setBrush(box);
    }
    const cell = at(event);
    setOver((before) => (before?.id === cell?.id ? before : cell ? { id: cell.id, x: cell.x, y: cell.y } : null));
  };
  const letGo = () => {
    const ids = brush ? cellsIn(found, brush).map((cell) => cell.id) : [];
    if (ids.length > 0) onBrush?.(ids);
    pressed.current = null;
    setBrush(null);
  };
  const press = (event: React.KeyboardEvent) => {
    if (event.key === "Enter" && over) onOpen(over.id);
    else if (event.key === " " && over && onBrush) onBrush([over.id]);
    else if (event.key === "Escape") setOver(null);
    else {
      const cell = step(found, over?.id ?? selected, event.key);
      if (cell === undefined) return;
      setOver({ id: cell.id, x: cell.x, y: cell.y });
    }
    event.preventDefault();
  };
  return (
    <div className="picture" ref={box} tabIndex={0} role="group" aria-label={t(onBrush ? "kit.cells_selected" : "kit.cells")} onKeyDown={press} onBlur={() => setOver(null)}>
      <span className="hidden" aria-live="polite">
        {over ? tip(over.id) : ""}
      </span>
      <canvas
        ref={canvas}
        role="img"
        aria-label={label}
        style={{ height: found.height }}
        onPointerDown={(event) => {
          dragged.current = false;
          // A finger scrolls, and opens what it taps.
          pressed.current = onBrush && event.button === 0 && event.pointerType === "mouse" ? point(event) : null;
        }}
        onPointerMove={move}
        onPointerUp={letGo}
        onPointerCancel={() => {
          pressed.current = null;
          setBrush(null);
        }}
        onMouseLeave={() => setOver(null)}
        onClick={(event) => {
          // What ends a box is a click too, and opens nothing.
          if (dragged.current) return;
          const cell = at(event);
          if (!cell) return;
          if (onBrush && (event.ctrlKey || event.metaKey || event.shiftKey)) onBrush([cell.id]);
          else onOpen(cell.id);
        }}
      />
      {brush && <div className="brush" aria-hidden="true" style={{ left: brush.x, top: brush.y, width: brush.width, height: brush.height }} />}
      {over && (
        <div className="tip" aria-hidden="true" style={{ left: Math.min(over.x, Math.max(0, width - 240)), top: over.y + found.size + 5 }}>
          {tip(over.id)}
        </div>
      )}
    </div>
  );
}
