// The rules that say which jobs wait for a second person: made, changed and deleted here; they count from the next submission on.
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { useApprovalRules, useDeleteApprovalRule, useSetApprovalRule, type ApprovalRule } from "../../data/approvals";
import { useKinds } from "../../data/kinds";
import { changedMeanwhile, saidOf } from "../../data/write";
import { Act } from "../../kit/Act";
import { Asked, Empty, Trouble } from "../../kit/asked";
import { Changed } from "../../kit/Changed";
import { Choices } from "../../kit/Choices";
import { Confirm } from "../../kit/Confirm";
import { Field } from "../../kit/Field";
import { When } from "../../kit/when";
import { SaveRow } from "../../kit/SaveRow";
import { NodesField } from "./NodesField";

/** `rule` as it was when it was opened (null: a new one). */
interface Opened {
  rule: ApprovalRule | null;
}

export function ApprovalRules() {
  const rules = useApprovalRules();
  const [open, setOpen] = useState<Opened | null>(null);
  return (
    <>
      {open && (
        <RuleForm
          key={open.rule?.name ?? ""}
          opened={open.rule}
          rules={rules.data ?? []}
          onAgain={async () => (await rules.refetch()).data ?? []}
          onClose={() => setOpen(null)}
        />
      )}
      <Asked query={rules}>{(found) => <List rules={found} open={open} onEdit={(rule) => setOpen({ rule })} />}</Asked>
    </>
  );
}

function List({ rules, open, onEdit }: { rules: readonly ApprovalRule[]; open: Opened | null; onEdit: (rule: ApprovalRule | null) => void }) {
  const { t } = useTranslation();
  const remove = useDeleteApprovalRule();
  const [going, setGoing] = useState<ApprovalRule | null>(null);
  const busy = open === null ? undefined : t("access.policy.one_at_a_time");
  return (
    <section className="panel stack" aria-label={t("access.approval.rules")}>
      <div className="row">
        <h2 className="grow">{t("access.approval.rules")}</h2>
        <Act needs="policy.write" not={busy} className="primary" onClick={() => onEdit(null)}>
          {t("access.approval.add")}
        </Act>
      </div>
      <p className="small muted">{t("access.approval.how")}</p>
      {rules.length === 0 && <Empty title={t("access.approval.none")}>{t("access.approval.none_how")}</Empty>}
      <ul className="rules">
        {rules.map((rule) => (
          <li key={rule.name} aria-current={open?.rule?.name === rule.name ? "true" : undefined}>
            <div>
              <div className="row">
                <b className="break">{rule.name}</b>
                <span className="small">
                  {t("access.approval.asks_when", { count: rule.min_nodes })} <code className="break">{rule.selector}</code>
                </span>
                {rule.reading && <span className="chip">{t("access.approval.reads_too")}</span>}
              </div>
              <div className="match">
                {(rule.kinds ?? []).length === 0 && <span className="small muted">{t("access.approval.any_kind")}</span>}
                {(rule.kinds ?? []).map((kind) => (
                  <span key={kind} className="chip">
                    {kind}
                  </span>
                ))}
              </div>
              <p className="small muted">
                {rule.changed_by} <When at={rule.changed_at} />
              </p>
            </div>
            <div className="acts">
              <Act needs="policy.write" not={busy} className="plain" aria-label={t("access.approval.edit", { rule: rule.name })} onClick={() => onEdit(rule)}>
                {t("kit.edit")}
              </Act>
              <Act
                needs="policy.write"
                not={open?.rule?.name === rule.name ? t("access.policy.one_at_a_time") : undefined}
                className="plain"
                aria-label={t("access.approval.remove", { rule: rule.name })}
                onClick={() => {
                  remove.reset();
                  setGoing(rule);
                }}
              >
                {t("kit.remove")}
              </Act>
            </div>
          </li>
        ))}
      </ul>
      {going && (
        <Confirm
          title={t("access.approval.remove", { rule: going.name })}
          action={t("kit.remove")}
          busy={remove.isPending}
          error={remove.error}
          onClose={() => setGoing(null)}
          onYes={() => remove.mutate(going.name, { onSuccess: () => setGoing(null) })}
        >
          <p>{t("access.approval.sure_remove")}</p>
        </Confirm>
      )}
    </section>
  );
}

interface FormProps {
  opened: ApprovalRule | null;
  rules: readonly ApprovalRule[];
  onAgain: () => Promise<readonly ApprovalRule[]>;
  onClose: () => void;
}

/** Those that show by themselves what the server says of them. */
const FIELDS = ["name", "min_nodes", "selector"];

const typedOf = (rule: ApprovalRule | null) => ({
  name: rule?.name ?? "",
  kinds: rule?.kinds ?? [],
  selector: rule?.selector ?? "all",
  nodes: String(rule?.min_nodes ?? 1),
  reading: rule?.reading ?? false,
});

function RuleForm({ opened, rules, onAgain, onClose }: FormProps) {
  const { t } = useTranslation();
  const kinds = useKinds();
  const save = useSetApprovalRule();
  const [typed, setTyped] = useState(() => typedOf(opened));
  // What is overwritten by saving, and what the typed text began from: after reading anew the first is newer than the second.
  const [seen, setSeen] = useState(opened?.changed_at ?? null);
  const [based, setBased] = useState(opened?.changed_at ?? null);
  const set = (next: Partial<typeof typed>) => {
    setTyped((before) => ({ ...before, ...next }));
    if (save.isError && !changedMeanwhile(save.error)) save.reset();
  };
  const name = typed.name.trim();
  const there = rules.find((rule) => rule.name === name);
  const taken = opened === null && there !== undefined && !save.isPending;
  const stale = changedMeanwhile(save.error);
  const differs = opened !== null && there !== undefined && there.changed_at !== based;
  const title = opened === null ? t("access.approval.add") : t("access.approval.edit", { rule: opened.name });
  return (
    <form
      className="panel stack"
      aria-label={title}
      onSubmit={(event) => {
        event.preventDefault();
        if (taken) return;
        const body = { kinds: typed.kinds, selector: typed.selector.trim() || "all", min_nodes: Number(typed.nodes), reading: typed.reading };
        save.mutate({ name, body, seen }, { onSuccess: onClose });
      }}
    >
      <h2>{title}</h2>
      <div className="fields">
        <Field label={t("access.policy.field.id")} wrong={taken ? t("access.approval.taken") : saidOf(save.error, "name")}>
          {(ids) => <input {...ids} className="mono" value={typed.name} onChange={(event) => set({ name: event.target.value })} readOnly={opened !== null} autoFocus={opened === null} required autoComplete="off" spellCheck={false} />}
        </Field>
        <Field label={t("access.approval.min_nodes")} about={t("access.approval.min_nodes_how")} wrong={saidOf(save.error, "min_nodes")}>
          {(ids) => <input {...ids} type="number" min={1} step={1} required autoFocus={opened !== null} value={typed.nodes} onChange={(event) => set({ nodes: event.target.value })} />}
        </Field>
      </div>
      <Choices legend={t("access.approval.kinds")} about={t("access.approval.kinds_how")} words={(kinds.data ?? []).map((kind) => kind.name)} chosen={typed.kinds} onChange={(chosen) => set({ kinds: chosen })} />
      <NodesField legend={t("access.policy.field.selector")} value={typed.selector} onChange={(selector) => set({ selector })} refused={save.error} />
      <label className="row">
        <input type="checkbox" checked={typed.reading} onChange={(event) => set({ reading: event.target.checked })} />
        <span className="grow">{t("access.approval.reading")}</span>
      </label>
      {stale && (
        <Changed
          typed
          onAgain={() =>
            void onAgain().then((found) => {
              setSeen(found.find((rule) => rule.name === name)?.changed_at ?? null);
              save.reset();
            })
          }
        />
      )}
      {opened !== null && there === undefined && !stale && (
        <p className="note warn" role="status">
          {t("access.policy.is_gone")}
        </p>
      )}
      {differs && !stale && (
        <p className="note warn row" role="status">
          <span className="grow">
            {t("access.policy.stored_now")} {t("access.approval.asks_when", { count: there.min_nodes })} <code>{there.selector}</code> {(there.kinds ?? []).join(", ") || t("access.approval.any_kind")} · {there.changed_by} <When at={there.changed_at} />
          </span>
          <button type="button" onClick={() => (setTyped(typedOf(there)), setBased(there.changed_at))}>
            {t("kit.take_stored")}
          </button>
        </p>
      )}
      {save.error && !stale && !FIELDS.some((field) => saidOf(save.error, field)) && <Trouble error={save.error} />}
      <SaveRow needs="policy.write" busy={save.isPending} stale={stale} onBack={onClose} />
    </form>
  );
}
