// A form made from the JSON Schema of an executor's params. The server checks what is typed; its error stands at the field it names.
import { useTranslation } from "react-i18next";
import { fieldsOf, type Field } from "../text/schema";

interface Props {
  schema: Record<string, unknown>;
  typed: Readonly<Record<string, string>>;
  onType: (name: string, text: string) => void;
  /** The element of the server's error: "params.sql" or "sql". */
  wrong?: string;
}

export function SchemaForm({ schema, typed, onType, wrong = "" }: Props) {
  return (
    <div className="fields">
      {fieldsOf(schema).map((field) => (
        <label key={field.name} className={`field ${field.kind === "lines" || field.kind === "json" ? "wide" : ""}`}>
          <span>
            {field.title}
            {field.required && <b aria-hidden="true">{" *"}</b>}
          </span>
          <Input field={field} text={typed[field.name] ?? field.initial} onType={(text) => onType(field.name, text)} wrong={wrong === field.name || wrong.endsWith(`.${field.name}`)} />
          {field.about && <small className="muted">{field.about}</small>}
        </label>
      ))}
    </div>
  );
}

function Input({ field, text, onType, wrong }: { field: Field; text: string; onType: (text: string) => void; wrong: boolean }) {
  const { t } = useTranslation();
  const common = { "aria-invalid": wrong, required: field.required };
  if (field.kind === "flag" || field.kind === "choice") {
    const choices = field.kind === "flag" ? ["true", "false"] : field.choices;
    return (
      <select {...common} value={text} onChange={(event) => onType(event.target.value)}>
        <option value="">{field.placeholder ? t("run.default", { value: field.placeholder }) : t("run.unset")}</option>
        {choices.map((choice) => (
          <option key={choice} value={choice}>
            {field.kind === "flag" ? t(choice === "true" ? "run.yes" : "run.no") : choice}
          </option>
        ))}
      </select>
    );
  }
  if (field.kind === "lines" || field.kind === "json") {
    return <textarea {...common} className="mono" rows={field.kind === "json" ? 2 : 4} spellCheck={false} placeholder={field.placeholder} value={text} onChange={(event) => onType(event.target.value)} />;
  }
  const type = field.kind === "password" ? "password" : field.kind === "number" ? "number" : "text";
  return <input {...common} className="mono" type={type} step="any" spellCheck={false} autoComplete="off" placeholder={field.placeholder} value={text} onChange={(event) => onType(event.target.value)} />;
}
