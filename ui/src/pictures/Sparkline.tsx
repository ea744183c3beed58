// One figure over the last hour as a line, with its newest value in words beside it.
import { useMemo } from "react";

interface Props {
  points: readonly { at: number; value: number }[];
  /** The top of the scale; what is higher stretches it. */
  top?: number;
  label: string;
  shown: string;
}

const WIDTH = 240;
const HEIGHT = 44;

export function Sparkline({ points, top = 0, label, shown }: Props) {
  const path = useMemo(() => drawn(points, top), [points, top]);
  return (
    <figure style={{ margin: 0 }}>
      <figcaption className="row small">
        <span className="muted grow">{label}</span>
        <b>{shown}</b>
      </figcaption>
      <svg className="spark" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label={`${label}: ${shown}`}>
        {path && <path className="under" d={`${path}L${WIDTH},${HEIGHT}L0,${HEIGHT}Z`} />}
        {path && <path d={path} />}
      </svg>
    </figure>
  );
}

export function drawn(points: readonly { at: number; value: number }[], top: number): string {
  const first = points[0];
  const last = points.at(-1);
  if (!first || !last) return "";
  const span = last.at - first.at || 1;
  if (points.length === 1) return drawn([first, { at: first.at + 1, value: first.value }], top);
  const high = points.reduce((most, { value }) => Math.max(most, value), top) || 1;
  return points
    .map(({ at, value }, index) => {
      const x = ((at - first.at) / span) * WIDTH;
      const y = HEIGHT - 2 - (Math.max(0, value) / high) * (HEIGHT - 4);
      return `${index ? "L" : "M"}${x.toFixed(1)},${y.toFixed(1)}`;
    })
    .join("");
}
