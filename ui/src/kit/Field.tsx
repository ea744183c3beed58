// A labelled field with what is wrong with it right below. The error is outside of the label, whose text names the field.
import { useId, type ReactNode } from "react";

interface Props {
  label: ReactNode;
  about?: ReactNode;
  wrong?: string | undefined;
  children: (ids: { "aria-invalid": boolean; "aria-describedby": string | undefined }) => ReactNode;
}

export function Field({ label, about, wrong = "", children }: Props) {
  const id = useId();
  return (
    <div className="field-like">
      <label className="field">
        {label}
        {children({ "aria-invalid": wrong !== "", "aria-describedby": wrong || about ? id : undefined })}
      </label>
      <div id={id}>
        {wrong ? (
          <span className="small ink-bad break" role="alert">
            {wrong}
          </span>
        ) : (
          about && <span className="small muted">{about}</span>
        )}
      </div>
    </div>
  );
}
