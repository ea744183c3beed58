// What the node measured in the last hour.
import { useTranslation } from "react-i18next";
import type { SampleView } from "../../api/types";
import { useSamples } from "../../data/nodes";
import { Trouble } from "../../kit/asked";
import { bytes } from "../../kit/when";
import { Sparkline } from "../../pictures/Sparkline";

interface Figure {
  name: string;
  top?: number;
  read: (values: Record<string, number>) => number | undefined;
  show: (value: number) => string;
}

const percent = (value: number) => `${value.toFixed(value < 10 ? 1 : 0)} %`;
const rate = (value: number) => `${bytes(value)}/s`;

function perSecond(values: Record<string, number>, picked: (name: string) => boolean): number | undefined {
  const names = Object.keys(values).filter(picked);
  const seconds = values["interval_seconds"];
  if (names.length === 0 || !seconds) return undefined;
  return names.reduce((sum, name) => sum + (values[name] ?? 0), 0) / seconds;
}

const FIGURES: readonly Figure[] = [
  { name: "cpu", top: 100, read: (values) => values["cpu_percent"], show: percent },
  { name: "memory", top: 100, read: (values) => values["mem_percent"], show: percent },
  { name: "disk", top: 100, read: (values) => values["disk./"], show: percent },
  { name: "load", read: (values) => values["load1"], show: (value) => value.toFixed(2) },
  { name: "disk_io", read: (values) => perSecond(values, (name) => /^disk_(read|write)_bytes$/.test(name)), show: rate },
  { name: "network", read: (values) => perSecond(values, (name) => /^net\..*_bytes$/.test(name)), show: rate },
];

export function Figures({ node }: { node: string }) {
  const { t } = useTranslation();
  const samples = useSamples(node);
  if (samples.error) return <Trouble error={samples.error} />;
  const found = samples.data ?? [];
  return (
    <section className="panel" aria-label={t("node.figures")}>
      {found.length === 0 ? (
        <p className="muted">{samples.isPending ? t("kit.loading") : t("node.no_figures")}</p>
      ) : (
        <div className="columns" style={{ gridTemplateColumns: "repeat(auto-fit, minmax(145px, 1fr))" }}>
          {FIGURES.map((figure) => (
            <One key={figure.name} figure={figure} samples={found} />
          ))}
        </div>
      )}
    </section>
  );
}

function One({ figure, samples }: { figure: Figure; samples: readonly SampleView[] }) {
  const { t } = useTranslation();
  const points = samples.flatMap(({ at, values }) => {
    const value = figure.read(values);
    return value === undefined ? [] : [{ at, value }];
  });
  const last = points.at(-1);
  return <Sparkline points={points} top={figure.top ?? 0} label={t(`node.figure.${figure.name}`)} shown={last ? figure.show(last.value) : "–"} />;
}
