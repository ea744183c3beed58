// The form filled with what a job was, to change it and run it again.
import { useEffect, useRef } from "react";
import { useTranslation } from "react-i18next";
import type { KindView } from "../../api/types";
import { useSubmitted } from "../../data/jobs";
import { Trouble } from "../../kit/asked";
import { typedAs, type Typed } from "./form";

interface Props {
  job: string;
  kinds: readonly KindView[] | undefined;
  onFill: (typed: Typed) => void;
}

export function Again({ job, kinds, onFill }: Props) {
  const { t } = useTranslation();
  const submitted = useSubmitted(job);
  const filled = useRef("");
  useEffect(() => {
    if (filled.current === job || submitted.data === undefined || kinds === undefined) return;
    filled.current = job;
    const typed = typedAs(submitted.data.submission, kinds);
    if (typed !== null) onFill(typed);
  });
  if (submitted.error) return <Trouble error={submitted.error} />;
  const missing = submitted.data?.left_out ?? [];
  return missing.length === 0 ? null : <p className="note warn">{t("run.left_out", { parts: missing.join(", ") })}</p>;
}
