// Moments and sizes in the reader's language. Relative, with the exact moment on hover.
import { useSyncExternalStore } from "react";
import { useTranslation } from "react-i18next";

const STEPS: readonly [number, Intl.RelativeTimeFormatUnit][] = [
  [60, "second"],
  [60, "minute"],
  [24, "hour"],
  [30, "day"],
  [12, "month"],
  [Infinity, "year"],
];

export function relative(at: number, now: number, language: string): string {
  let amount = (at - now) / 1000;
  for (const [size, unit] of STEPS) {
    if (Math.abs(amount) < size) {
      return new Intl.RelativeTimeFormat(language, { numeric: "auto", style: "short" }).format(Math.round(amount), unit);
    }
    amount /= size;
  }
  return "";
}

export function When({ at }: { at: string | null | undefined }) {
  const { i18n } = useTranslation();
  const now = useNow(15_000);
  if (!at) return <span className="muted">–</span>;
  const moment = new Date(at);
  return (
    <time dateTime={at} title={moment.toLocaleString(i18n.language)} className="nowrap">
      {relative(moment.getTime(), Math.max(now, Date.now()), i18n.language)}
    </time>
  );
}

/** One clock for everything with the same step: a table of a thousand moments costs one timer. */
class Ticker {
  private now = Date.now();
  private timer: ReturnType<typeof setInterval> | null = null;
  private readonly listeners = new Set<() => void>();

  constructor(private readonly every: number) {}

  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    if (this.timer === null) this.now = Date.now();
    this.timer ??= setInterval(() => {
      this.now = Date.now();
      for (const one of this.listeners) one();
    }, this.every);
    return () => {
      this.listeners.delete(listener);
      if (this.listeners.size > 0 || this.timer === null) return;
      clearInterval(this.timer);
      this.timer = null;
    };
  };

  read = (): number => this.now;
}

const TICKERS = new Map<number, Ticker>();

export function useNow(every: number): number {
  const ticker = TICKERS.get(every) ?? new Ticker(every);
  TICKERS.set(every, ticker);
  return useSyncExternalStore(ticker.subscribe, ticker.read);
}

export function duration(seconds: number): string {
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} m ${Math.round(seconds % 60)} s`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.round((seconds % 3600) / 60)} m`;
  return `${Math.floor(seconds / 86400)} d ${Math.round((seconds % 86400) / 3600)} h`;
}

export function bytes(count: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  let value = count;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit] ?? ""}`;
}
