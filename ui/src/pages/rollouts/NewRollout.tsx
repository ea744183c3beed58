// A new rollout: what, where, in which stages, and the stages drawn before anything is stored (dry_run of the same request).
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { useNavigate } from "react-router";
import { useCreateRollout, type CreateBody } from "../../data/rollouts";
import { Trouble } from "../../kit/asked";
import { SelectorField } from "../../kit/selector";
import { stageSaid } from "../../text/said";

const KINDS = ["percentage", "count", "groups"] as const;
type Kind = (typeof KINDS)[number];
const FIRST: Record<Kind, string> = { percentage: "10, 50, 100", count: "1, 5, 0", groups: "role" };

export function NewRollout({ onClose }: { onClose: () => void }) {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const preview = useCreateRollout();
  const create = useCreateRollout();
  const [name, setName] = useState("");
  const [target, setTarget] = useState("");
  const [shell, setShell] = useState("");
  const [undo, setUndo] = useState("");
  const [gate, setGate] = useState("");
  const [kind, setKind] = useState<Kind>("percentage");
  const [values, setValues] = useState(FIRST.percentage);
  const [byItself, setByItself] = useState(false);
  const body = (dry: boolean): CreateBody => ({
    name: name.trim(),
    target,
    change: { shell },
    strategy: { kind, values: parts(kind, values) },
    auto_advance: byItself,
    advance_interval: 0,
    dry_run: dry,
    ...(gate.trim() ? { gates: [{ kind: "command" as const, shell: gate.trim() }] } : {}),
    ...(undo.trim() ? { rollback_command: { shell: undo.trim() } } : {}),
  });
  const planned = preview.data;
  const filled = name.trim() !== "" && target.trim() !== "" && shell.trim() !== "";
  const changed = () => preview.reset();
  return (
    <form
      className="panel stack"
      onChange={changed}
      onSubmit={(event) => {
        event.preventDefault();
        preview.mutate(body(true));
      }}
    >
      <h2>{t("rollouts.new")}</h2>
      <div className="columns">
        <label className="field">
          {t("rollouts.column.name")}
          <input value={name} onChange={(event) => setName(event.target.value)} autoFocus required />
        </label>
        <div className="field-like">
          <span className="small muted">{t("nodes.selector")}</span>
          <SelectorField value={target} onChange={setTarget} label={t("nodes.selector")} placeholder='labels["role"] == "web"' error={preview.error} />
        </div>
      </div>
      <label className="field">
        {t("rollouts.command")}
        <textarea className="mono" rows={2} value={shell} onChange={(event) => setShell(event.target.value)} spellCheck={false} required />
      </label>
      <div className="columns">
        <div className="row">
          <label className="field">
            {t("rollouts.strategy")}
            <select
              value={kind}
              onChange={(event) => {
                setKind(event.target.value as Kind);
                setValues(FIRST[event.target.value as Kind]);
              }}
            >
              {KINDS.map((word) => (
                <option key={word} value={word}>
                  {t(`rollouts.kind.${word}`)}
                </option>
              ))}
            </select>
          </label>
          <label className="field grow">
            {t(`rollouts.values.${kind}`)}
            <input className="mono" value={values} onChange={(event) => setValues(event.target.value)} />
          </label>
        </div>
        <label className="field">
          {t("rollouts.gate_command")}
          <input className="mono" value={gate} onChange={(event) => setGate(event.target.value)} placeholder="curl -sf localhost/health" />
        </label>
        <label className="field">
          {t("rollouts.undo")}
          <input className="mono" value={undo} onChange={(event) => setUndo(event.target.value)} />
        </label>
      </div>
      <label className="row">
        <input type="checkbox" checked={byItself} onChange={(event) => setByItself(event.target.checked)} />
        {t("rollouts.auto")}
      </label>
      {preview.error && <Trouble error={preview.error} />}
      {planned && (
        <div className="lanes" aria-label={t("rollouts.preview")}>
          {planned.stages.map((stage) => (
            <section key={stage.index} className="lane idle">
              <h2>
                {stage.index}. {stageSaid(t, stage.name)}
              </h2>
              <p>
                <b>{stage.nodes.length}</b> <span className="muted small break">{stage.nodes.slice(0, 6).join(", ")}{stage.nodes.length > 6 ? " …" : ""}</span>
              </p>
            </section>
          ))}
        </div>
      )}
      {planned?.offline && planned.offline.length > 0 && <p className="note warn">{t("rollouts.offline", { count: planned.offline.length })}</p>}
      {create.error && <Trouble error={create.error} />}
      <div className="row">
        <button disabled={!filled || preview.isPending}>{t("rollouts.preview")}</button>
        <button
          type="button"
          className="primary"
          disabled={!planned || create.isPending}
          title={planned ? undefined : t("rollouts.preview_first")}
          onClick={() => create.mutate(body(false), { onSuccess: (made) => void navigate(`/rollouts/${made.rollout}`) })}
        >
          {t("rollouts.start")}
        </button>
        <button type="button" className="plain" onClick={onClose}>
          {t("kit.back")}
        </button>
      </div>
    </form>
  );
}

/** Numbers as numbers; a label's name stays a word. */
export function parts(kind: Kind, text: string): (string | number)[] {
  const words = text.split(",").map((word) => word.trim()).filter(Boolean);
  return kind === "groups" ? words : words.map((word) => (/^\d+(\.\d+)?$/.test(word) ? Number(word) : word));
}
