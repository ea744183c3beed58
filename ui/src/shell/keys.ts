// Keys that work everywhere: ⌘K the palette, / the filter, g and a letter a page, ? what keys there are.
import { useEffect, useRef } from "react";
import { PLACES } from "./places";

interface Acts {
  go: (path: string) => void;
  palette: () => void;
  sheet: () => void;
}

const GO_WITHIN_MS = 1200;

export function useKeys(acts: Acts): void {
  const latest = useRef(acts);
  latest.current = acts;
  useEffect(() => {
    let wentAt = -Infinity;
    const press = (event: KeyboardEvent) => {
      if ((event.metaKey || event.ctrlKey) && event.key.toLowerCase() === "k") {
        event.preventDefault();
        latest.current.palette();
        return;
      }
      if (event.metaKey || event.ctrlKey || event.altKey || typing(event.target)) return;
      if (performance.now() - wentAt < GO_WITHIN_MS) {
        wentAt = -Infinity;
        const place = PLACES.find(({ key }) => key === event.key);
        if (place) latest.current.go(place.path);
        return;
      }
      if (event.key === "g") wentAt = performance.now();
      else if (event.key === "?") latest.current.sheet();
      else if (event.key === "/") {
        const filter = document.querySelector<HTMLElement>("[data-filter]");
        if (filter) {
          event.preventDefault();
          filter.focus();
        }
      }
    };
    window.addEventListener("keydown", press);
    return () => window.removeEventListener("keydown", press);
  }, []);
}

function typing(target: EventTarget | null): boolean {
  if (document.querySelector("dialog[open]") !== null) return true;
  return target instanceof HTMLElement && (/^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName) || target.isContentEditable);
}
