// The command: words without a shell, a line for sh, or a script.
import { useTranslation } from "react-i18next";
import { shellish, split } from "../../text/words";
import { INTERPRETERS, type NOTHING_TYPED, type Typed } from "./form";

interface Props {
  typed: Typed;
  onCommand: (command: string) => void;
  onChange: (next: Partial<typeof NOTHING_TYPED>) => void;
}

export function CommandField({ typed, onCommand, onChange }: Props) {
  const { t } = useTranslation();
  if (typed.mode === "script") {
    return (
      <>
        <textarea className="mono" rows={8} value={typed.script} onChange={(event) => onChange({ script: event.target.value })} aria-label={t("run.script")} placeholder={t("run.script")} spellCheck={false} />
        <label className="row small muted">
          {t("run.interpreter")}
          <select value={typed.interpreter} onChange={(event) => onChange({ interpreter: event.target.value })}>
            {INTERPRETERS.map((name) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </label>
      </>
    );
  }
  const words = typed.mode === "argv" ? split(typed.command) : null;
  return (
    <>
      {typed.command.includes("\n") ? (
        <textarea className="mono wide" rows={4} value={typed.command} onChange={(event) => onCommand(event.target.value)} aria-label={t("run.command")} spellCheck={false} />
      ) : (
        <input className="mono wide" value={typed.command} onChange={(event) => onCommand(event.target.value)} aria-label={t("run.command")} placeholder={typed.mode === "argv" ? t("run.example_argv") : t("run.example_shell")} spellCheck={false} autoComplete="off" autoCapitalize="off" />
      )}
      {typed.mode === "argv" && typed.command !== "" && (
        <div className="row small">
          {words === null ? <span className="ink-bad">{t("run.open_quote")}</span> : words.map((word, index) => <span key={index} className="chip">{word}</span>)}
          {shellish(typed.command) && <span className="ink-warn">{t("run.no_shell")}</span>}
        </div>
      )}
    </>
  );
}
