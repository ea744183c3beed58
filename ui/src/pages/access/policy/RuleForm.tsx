// One rule, new or edited. It is saved for the revision it was opened at; when that is over, what was typed stays and one looks again.
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { useRoles } from "../../../data/access";
import { EFFECTS, useChangePolicy, type PolicyRule, type PolicyView } from "../../../data/policy";
import { useMay } from "../../../data/session";
import { changedMeanwhile, saidOf } from "../../../data/write";
import { Trouble } from "../../../kit/asked";
import { Changed } from "../../../kit/Changed";
import { Choices } from "../../../kit/Choices";
import { Field } from "../../../kit/Field";
import { Rows } from "../../../kit/Rows";
import { SaveRow } from "../../../kit/SaveRow";
import { MATCH_KEYS, matchOf, rowsOfMatch } from "../../../text/rows";
import { NodesField } from "../NodesField";
import { Matches } from "./Matches";

interface Props {
  policy: PolicyView;
  /** As it was when it was opened; null: a new one. */
  opened: PolicyRule | null;
  revision: number;
  onAgain: () => Promise<void>;
  onSaved: (after: PolicyView, rule: string) => void;
  onClose: () => void;
}

/** Those that show by themselves what the server says of them. */
const FIELDS = ["id", "position", "match", "selector"];

const typedOf = (rule: PolicyRule | null) => ({
  id: rule?.id ?? "",
  effect: rule?.effect ?? "deny",
  rows: rowsOfMatch(rule?.match ?? {}),
  roles: rule?.roles ?? [],
  selector: rule?.selector ?? "all",
  comment: rule?.comment ?? "",
  position: "",
});

export function RuleForm({ policy, opened, revision, onAgain, onSaved, onClose }: Props) {
  const { t } = useTranslation();
  const save = useChangePolicy();
  const [typed, setTyped] = useState(() => typedOf(opened));
  const [based, setBased] = useState(opened);
  const set = (next: Partial<typeof typed>) => {
    setTyped((before) => ({ ...before, ...next }));
    if (save.isError && !changedMeanwhile(save.error)) save.reset();
  };
  const { match, wrong } = matchOf(typed.rows);
  const name = typed.id.trim();
  const there = policy.rules.find((rule) => rule.id === name);
  const taken = opened === null && there !== undefined && !save.isPending;
  const stale = changedMeanwhile(save.error);
  const [shown, setShown] = useState(false);
  const bad = wrong.some(Boolean);
  const submit = () => {
    setShown(true);
    if (bad || taken || name === "") return;
    const position = typed.position.trim() === "" ? {} : { position: Number(typed.position) };
    const body = { effect: typed.effect, match, roles: typed.roles, selector: typed.selector.trim() || "all", comment: typed.comment.trim(), ...position };
    save.mutate({ change: { do: "put", rule: name, body }, revision }, { onSuccess: (after) => onSaved(after, name) });
  };
  const last = policy.rules.length + (opened === null ? 1 : 0);
  return (
    <form
      className="panel stack"
      aria-label={opened === null ? t("access.policy.add") : t("access.policy.edit", { rule: opened.id })}
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      <h2>{opened === null ? t("access.policy.add") : t("access.policy.edit", { rule: opened.id })}</h2>
      <div className="fields">
        <Field label={t("access.policy.field.id")} wrong={taken ? t("access.policy.taken") : saidOf(save.error, "id")}>
          {(ids) => <input {...ids} className="mono" value={typed.id} onChange={(event) => set({ id: event.target.value })} readOnly={opened !== null} autoFocus={opened === null} required autoComplete="off" spellCheck={false} />}
        </Field>
        <Field label={t("access.policy.field.effect")} about={t(`access.policy.effect_what.${typed.effect}`)}>
          {(ids) => (
            <select {...ids} value={typed.effect} onChange={(event) => set({ effect: event.target.value })} autoFocus={opened !== null}>
              {EFFECTS.map((effect) => (
                <option key={effect} value={effect}>
                  {t(`access.policy.effect.${effect}`)}
                </option>
              ))}
            </select>
          )}
        </Field>
        <Field label={t("access.policy.field.position")} about={t("access.policy.position_how", { last })} wrong={saidOf(save.error, "position")}>
          {(ids) => <input {...ids} type="number" min={1} max={last} value={typed.position} placeholder={opened === null ? t("access.policy.last") : t("access.policy.stays")} onChange={(event) => set({ position: event.target.value })} />}
        </Field>
      </div>
      <Rows
        legend={t("access.policy.field.match")}
        rows={typed.rows}
        onChange={(rows) => set({ rows })}
        keys={MATCH_KEYS}
        closed
        aboutOf={(key) => t(`access.policy.match.${key}`)}
        wrong={wrong.map((why) => (why === "empty" && !shown ? "" : why))}
        said={saidOf(save.error, "match")}
      />
      <p className="small muted">{t("access.policy.patterns")}</p>
      <Roles chosen={typed.roles} onChange={(roles) => set({ roles })} />
      <NodesField legend={t("access.policy.field.selector")} value={typed.selector} onChange={(selector) => set({ selector })} refused={save.error} />
      <Field label={t("access.policy.field.comment")}>{(ids) => <input {...ids} value={typed.comment} maxLength={500} onChange={(event) => set({ comment: event.target.value })} />}</Field>
      {stale && <Changed typed onAgain={() => void onAgain().then(() => save.reset())} />}
      {save.error && !stale && !FIELDS.some((field) => saidOf(save.error, field)) && <Trouble error={save.error} />}
      {opened !== null && !stale && <Stored opened={based} there={there} onTake={(rule) => (setTyped(typedOf(rule)), setBased(rule))} />}
      <SaveRow needs="policy.write" busy={save.isPending} stale={stale} onBack={onClose} />
    </form>
  );
}

/** After reading anew: what somebody else made of this very rule, to compare and to take. */
function Stored({ opened, there, onTake }: { opened: PolicyRule | null; there: PolicyRule | undefined; onTake: (rule: PolicyRule) => void }) {
  const { t } = useTranslation();
  if (there === undefined) {
    return (
      <p className="note warn" role="status">
        {t("access.policy.is_gone")}
      </p>
    );
  }
  if (JSON.stringify(opened) === JSON.stringify(there)) return null;
  return (
    <div className="note warn stack" role="status">
      <span>
        {t("access.policy.stored_now")} <b>{t(`access.policy.effect.${there.effect}`)}</b> <code>{there.selector}</code> {(there.roles ?? []).join(", ")} {there.comment}
      </span>
      <Matches match={there.match} />
      <div>
        <button type="button" onClick={() => onTake(there)}>
          {t("kit.take_stored")}
        </button>
      </div>
    </div>
  );
}

function Roles({ chosen, onChange }: { chosen: readonly string[]; onChange: (roles: string[]) => void }) {
  const { t } = useTranslation();
  const readable = useMay("role.read");
  const roles = useRoles(readable);
  const [text, setText] = useState(chosen.join(" "));
  if (readable) return <Choices legend={t("access.policy.field.roles")} words={(roles.data ?? []).map((role) => role.name)} chosen={chosen} onChange={onChange} />;
  return (
    <Field label={t("access.policy.field.roles")}>
      {(ids) => (
        <input
          {...ids}
          className="mono"
          value={text}
          onChange={(event) => {
            setText(event.target.value);
            onChange(event.target.value.split(/[\s,]+/).filter(Boolean));
          }}
        />
      )}
    </Field>
  );
}
