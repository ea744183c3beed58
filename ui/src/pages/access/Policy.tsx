// The command policy: asked without anything being run, and beside that its mode and the rule that is being edited. Below, all rules.
import { useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { usePolicy, type PolicyRule, type PolicyView } from "../../data/policy";
import { Asked } from "../../kit/asked";
import { Mode } from "./policy/Mode";
import { RuleForm } from "./policy/RuleForm";
import { Rules } from "./policy/Rules";
import { Tester } from "./policy/Tester";

/** `rule` as it was when it was opened (null: a new one), and the revision it was read at. */
interface Opened {
  rule: PolicyRule | null;
  revision: number;
}

export function Policy() {
  const { t } = useTranslation();
  const policy = usePolicy();
  const command = useRef<HTMLTextAreaElement>(null);
  const [open, setOpen] = useState<Opened | null>(null);
  const [saved, setSaved] = useState("");
  // What one changes beside it moves what is being typed along: only somebody else's change is a conflict.
  const changed = (after: PolicyView, from: number) => setOpen((before) => (before?.revision === from ? { ...before, revision: after.revision } : before));
  const edit = (rule: PolicyRule | null, revision: number) => {
    setSaved("");
    setOpen({ rule, revision });
  };
  return (
    <>
      <div className="columns wide" style={{ marginBottom: 14 }}>
        <Tester command={command} revision={policy.data?.revision ?? 0} />
        {policy.data && open && (
          <RuleForm
            key={open.rule?.id ?? ""}
            policy={policy.data}
            opened={open.rule}
            revision={open.revision}
            onAgain={async () => {
              const found = await policy.refetch();
              if (found.data) setOpen({ ...open, revision: found.data.revision });
            }}
            onClose={() => setOpen(null)}
            onSaved={(after, rule) => {
              setOpen(null);
              setSaved(t("access.policy.saved", { rule, revision: after.revision }));
              command.current?.focus();
            }}
          />
        )}
        {policy.data && !open && <Mode policy={policy.data} saved={saved} again={() => void policy.refetch()} />}
      </div>
      <Asked query={policy}>
        {(found) => <Rules policy={found} opened={open === null ? null : (open.rule?.id ?? "")} onEdit={(rule) => edit(rule, found.revision)} onChanged={changed} again={() => void policy.refetch()} />}
      </Asked>
    </>
  );
}
