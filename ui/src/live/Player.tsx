// The controls of a replay: play and pause (space), speed, idle time cut short, and where it is, with the beginnings and ends of tasks.
import { useEffect, useMemo, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { useAddress } from "../kit/address";
import { look } from "../kit/states";
import { duration } from "../kit/when";
import { advance, IDLE_SECONDS, ticks, type Replayed } from "../text/replay";

const SPEEDS = ["1", "2", "8", "32"];
const STEP_MILLISECONDS = 100;
/** The parts a replay is wound by. */
const PARTS = 1000;

interface Props {
  played: Replayed;
  position: number;
  /** Somebody wound it. */
  onPosition: (position: number) => void;
  /** It went on by itself. */
  onPlayed: (position: number) => void;
}

export function Player({ played, position, onPosition, onPlayed }: Props) {
  const { t } = useTranslation();
  const [address, set] = useAddress({ speed: "1", idle: "" });
  const [playing, setPlaying] = useState(false);
  const speed = SPEEDS.includes(address.speed) ? Number(address.speed) : 1;
  const cut = address.idle === "cut";
  const { length } = played;
  const atEnd = position >= length;
  const drawn = useMemo(() => ticks(played), [played]);
  const now = useRef(position);
  now.current = position;
  useEffect(() => {
    if (!playing) return;
    let last = performance.now();
    const timer = setInterval(() => {
      const moment = performance.now();
      onPlayed(advance(played, now.current, ((moment - last) / 1000) * speed, cut));
      last = moment;
    }, STEP_MILLISECONDS);
    return () => clearInterval(timer);
  }, [playing, played, speed, cut, onPlayed]);
  useEffect(() => {
    if (playing && atEnd) setPlaying(false);
  }, [playing, atEnd]);
  const toggle = () => {
    if (!playing && atEnd) onPosition(0);
    setPlaying(!playing);
  };
  useSpace(toggle);
  return (
    <div className="player">
      <div className="row">
        <button className="primary play" onClick={toggle}>
          <span aria-hidden="true">{playing ? "❚❚" : "▶"}</span>
          {t(playing ? "replay.pause" : "replay.play")}
        </button>
        <div className="segments" role="group" aria-label={t("replay.speed")}>
          {SPEEDS.map((one) => (
            <button key={one} aria-pressed={String(speed) === one} onClick={() => set({ speed: one })}>
              {`${one}×`}
            </button>
          ))}
        </div>
        <label className="row">
          <input type="checkbox" checked={cut} onChange={() => set({ idle: cut ? "" : "cut" })} />
          {t("replay.idle", { seconds: IDLE_SECONDS })}
        </label>
        <span className="grow" />
        <span className="mono nowrap" role="timer">
          {t("replay.at", { at: clock(position), of: clock(length) })}
        </span>
      </div>
      <div className="scrubber">
        <input
          type="range"
          min={0}
          max={PARTS}
          value={length === 0 ? PARTS : Math.round((position / length) * PARTS)}
          aria-label={t("replay.position")}
          aria-valuetext={t("replay.at", { at: duration(position), of: duration(length) })}
          onChange={(event) => onPosition((length * Number(event.target.value)) / PARTS)}
        />
        <div className="ticks" aria-hidden="true">
          {drawn.map((tick) => (
            <i key={`${tick.left} ${tick.what}`} className={tick.what === "began" ? "began" : look(tick.what).tone} style={{ left: `${tick.left}%` }} />
          ))}
        </div>
      </div>
    </div>
  );
}

/** Space anywhere but where it means something else. */
function useSpace(act: () => void): void {
  const latest = useRef(act);
  latest.current = act;
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      if (event.key !== " " || event.metaKey || event.ctrlKey || event.altKey || document.querySelector("dialog[open]") !== null) return;
      const { target } = event;
      if (target instanceof HTMLElement && target.closest("button, a, summary, select, textarea, input:not([type=range]), [contenteditable]") !== null) return;
      event.preventDefault();
      latest.current();
    };
    window.addEventListener("keydown", press);
    return () => window.removeEventListener("keydown", press);
  }, []);
}

function clock(seconds: number): string {
  const two = (number: number) => String(number).padStart(2, "0");
  const tenths = Math.floor(seconds * 10) % 10;
  const whole = Math.floor(seconds);
  const hours = Math.floor(whole / 3600);
  return `${hours > 0 ? `${hours}:` : ""}${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}.${tenths}`;
}
