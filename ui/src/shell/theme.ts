// Light, dark, or what the system says.
export type Theme = "auto" | "light" | "dark";
const KEY = "corral.theme";

export function theme(): Theme {
  const kept = localStorage.getItem(KEY);
  return kept === "light" || kept === "dark" ? kept : "auto";
}

export function setTheme(next: Theme): void {
  localStorage.setItem(KEY, next);
  applyTheme();
  window.dispatchEvent(new Event("corral-theme"));
}

export function applyTheme(): void {
  const now = theme();
  if (now === "auto") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = now;
}
