// A window of rows over however many there are: only what is seen, and a little more, is in the page.
import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useRef, type ReactNode } from "react";

const ROW_PIXELS = 18;

export interface Drawn {
  className: string;
  inside: ReactNode;
}

interface Props {
  count: number;
  draw: (index: number) => Drawn | null;
  label: string;
  wrap: boolean;
  follow: boolean;
  /** Somebody scrolled back: it should follow no longer. */
  onLeave: () => void;
  /** The row to be brought into view whenever `turn` changes. */
  look?: { index: number; turn: number };
  /** Changes with what the rows are, as when only some of them are shown: their heights are measured anew. */
  kind?: string;
  /** Changes whenever rows did. */
  version: number;
  /** What stands there while there is no row. */
  children: ReactNode;
}

export function Rows({ count, draw, label, wrap, follow, onLeave, look, kind = "", version, children }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const view = useVirtualizer({
    count,
    getScrollElement: () => box.current,
    estimateSize: () => ROW_PIXELS,
    overscan: 20,
    measureElement: (element) => element.getBoundingClientRect().height,
  });
  useEffect(() => view.measure(), [wrap, kind, view]);
  useEffect(() => {
    if (follow && count > 0) view.scrollToIndex(count - 1, { align: "end" });
  }, [count, version, follow, kind, view]);
  useEffect(() => {
    if (look !== undefined && look.turn > 0) view.scrollToIndex(look.index, { align: "center" });
  }, [look?.turn, view]);
  return (
    <div
      ref={box}
      className={wrap ? "rows wrap" : "rows"}
      tabIndex={0}
      role="log"
      aria-live="off"
      aria-label={label}
      onWheel={(event) => event.deltaY < 0 && onLeave()}
      onKeyDown={(event) => ["ArrowUp", "PageUp", "Home"].includes(event.key) && onLeave()}
    >
      {count === 0 && children}
      <div style={{ height: view.getTotalSize(), position: "relative" }}>
        {view.getVirtualItems().map((item) => {
          const row = draw(item.index);
          if (row === null) return null;
          return (
            <div key={item.key} ref={wrap ? view.measureElement : undefined} data-index={item.index} className={`log-row ${row.className}`} style={{ transform: `translateY(${item.start}px)` }}>
              {row.inside}
            </div>
          );
        })}
      </div>
    </div>
  );
}
