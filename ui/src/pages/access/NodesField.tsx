// Which nodes something stands on, with what that hits now. Its own error, or the server's when it was to be saved, is below it.
import { useTranslation } from "react-i18next";
import { Problem } from "../../api/client";
import { useResolve } from "../../data/nodes";
import { saidOf } from "../../data/write";
import { SelectorField } from "../../kit/selector";
import { Hits } from "../run/Hits";

interface Props {
  legend: string;
  value: string;
  onChange: (value: string) => void;
  /** What came of saving. */
  refused: unknown;
}

export function NodesField({ legend, value, onChange, refused }: Props) {
  const { t } = useTranslation();
  const hits = useResolve(value);
  const error = saidOf(refused, "selector") ? refused : hits.error;
  const unreadable = error instanceof Problem && error.status === 400;
  return (
    <div className="field-like">
      <span className="small muted">{legend}</span>
      <SelectorField value={value} onChange={onChange} onText={onChange} label={t("nodes.selector")} error={error} placeholder={t("nodes.selector_example")} />
      {!unreadable && <Hits target={value} resolved={hits.error ? undefined : hits.data} error={hits.error} />}
    </div>
  );
}
