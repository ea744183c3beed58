// Colours for canvases: what the stylesheet says now, resolved to what a canvas understands.
import { useEffect, useMemo, useState } from "react";

export function paint(name: string): string {
  const probe = document.createElement("span");
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

const NAMES = ["good", "bad", "warn", "busy", "idle", "panel", "text", "muted", "line", "sunk"] as const;
export type Paints = Record<(typeof NAMES)[number], string>;

/** Changes when the theme does. */
export function usePaints(): Paints {
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    const again = () => setTurn((before) => before + 1);
    const system = window.matchMedia("(prefers-color-scheme: dark)");
    system.addEventListener("change", again);
    window.addEventListener("corral-theme", again);
    return () => {
      system.removeEventListener("change", again);
      window.removeEventListener("corral-theme", again);
    };
  }, []);
  return useMemo(() => {
    void turn;
    return Object.fromEntries(NAMES.map((name) => [name, paint(name)])) as Paints;
  }, [turn]);
}
