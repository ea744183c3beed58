// The rules in the order in which they are asked: the first that matches decides, so the order can be changed here.
import { useEffect, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { useChangePolicy, type PolicyRule, type PolicyView } from "../../../data/policy";
import { changedMeanwhile } from "../../../data/write";
import { Act } from "../../../kit/Act";
import { Empty, Trouble } from "../../../kit/asked";
import { Changed } from "../../../kit/Changed";
import { Confirm } from "../../../kit/Confirm";
import { State } from "../../../kit/states";
import { Matches } from "./Matches";

interface Props {
  policy: PolicyView;
  /** The id of the rule that is being edited, "" for a new one. */
  opened: string | null;
  onEdit: (rule: PolicyRule | null) => void;
  onChanged: (after: PolicyView, from: number) => void;
  again: () => void;
}

export function Rules({ policy, opened, onEdit, onChanged, again }: Props) {
  const { t } = useTranslation();
  const change = useChangePolicy();
  const [going, setGoing] = useState<PolicyRule | null>(null);
  const list = useRef<HTMLOListElement>(null);
  const pressed = useRef("");
  const { revision } = policy;
  // A row that moved takes the focus with it; at the end of the list its other button does.
  useEffect(() => {
    const [rule = "", way = ""] = pressed.current.split(" ");
    pressed.current = "";
    const buttons = [...(list.current?.querySelectorAll<HTMLButtonElement>(`[data-rule="${CSS.escape(rule)}"]`) ?? [])];
    (buttons.find((one) => one.dataset["way"] === way && !one.disabled) ?? buttons.find((one) => !one.disabled))?.focus();
  }, [revision]);
  const move = (rule: PolicyRule, position: number, way: string) => {
    pressed.current = `${rule.id} ${way}`;
    change.mutate({ change: { do: "move", rule: rule.id, position }, revision }, { onSuccess: (after) => onChanged(after, revision) });
  };
  const remove = (rule: PolicyRule) =>
    change.mutate(
      { change: { do: "remove", rule: rule.id }, revision },
      {
        onSuccess: (after) => {
          setGoing(null);
          onChanged(after, revision);
        },
        onError: (error) => changedMeanwhile(error) && setGoing(null),
      },
    );
  const busyEditing = opened === null ? undefined : t("access.policy.one_at_a_time");
  const stale = changedMeanwhile(change.error);
  return (
    <section className="panel stack" aria-label={t("access.policy.rules")}>
      <div className="row">
        <h2 className="grow">{t("access.policy.rules")}</h2>
        <Act needs="policy.write" not={busyEditing} className="primary" onClick={() => onEdit(null)}>
          {t("access.policy.add")}
        </Act>
      </div>
      <p className="small muted">{t("access.policy.order")}</p>
      {stale && (
        <Changed
          onAgain={() => {
            change.reset();
            again();
          }}
        />
      )}
      {change.error && !stale && going === null && <Trouble error={change.error} />}
      {policy.rules.length === 0 && <Empty title={t("access.policy.none")}>{t("access.policy.none_how")}</Empty>}
      <ol ref={list} className="rules">
        {policy.rules.map((rule, index) => (
          <li key={rule.id} aria-current={opened === rule.id ? "true" : undefined}>
            <span className="place">{index + 1}</span>
            <Rule rule={rule} />
            <div className="acts">
              <Act
                needs="policy.write"
                not={index === 0 ? t("access.policy.is_first") : undefined}
                className="plain"
                data-rule={rule.id}
                data-way="up"
                disabled={change.isPending}
                aria-label={t("access.policy.up", { rule: rule.id })}
                onClick={() => move(rule, index, "up")}
              >
                ↑
              </Act>
              <Act
                needs="policy.write"
                not={index === policy.rules.length - 1 ? t("access.policy.is_last") : undefined}
                className="plain"
                data-rule={rule.id}
                data-way="down"
                disabled={change.isPending}
                aria-label={t("access.policy.down", { rule: rule.id })}
                onClick={() => move(rule, index + 2, "down")}
              >
                ↓
              </Act>
              <Act needs="policy.write" not={busyEditing} className="plain" aria-label={t("access.policy.edit", { rule: rule.id })} onClick={() => onEdit(rule)}>
                {t("kit.edit")}
              </Act>
              <Act
                needs="policy.write"
                not={opened === rule.id ? t("access.policy.one_at_a_time") : undefined}
                className="plain"
                aria-label={t("access.policy.remove", { rule: rule.id })}
                onClick={() => {
                  change.reset();
                  setGoing(rule);
                }}
              >
                {t("kit.remove")}
              </Act>
            </div>
          </li>
        ))}
      </ol>
      {going && (
        <Confirm title={t("access.policy.remove", { rule: going.id })} action={t("kit.remove")} busy={change.isPending} error={change.error} onClose={() => setGoing(null)} onYes={() => remove(going)}>
          <Matches match={going.match} />
          <p>{t(`access.policy.sure_remove.${going.effect}`)}</p>
        </Confirm>
      )}
    </section>
  );
}

function Rule({ rule }: { rule: PolicyRule }) {
  const { t } = useTranslation();
  const roles = rule.roles ?? [];
  return (
    <div>
      <div className="row">
        <State state={rule.effect} label={t(`access.policy.effect.${rule.effect}`)} />
        <b className="break">{rule.id}</b>
        {roles.length > 0 && <span className="small">{t("access.policy.for_roles", { roles: roles.join(", ") })}</span>}
        {rule.selector !== "all" && (
          <span className="small">
            {t("access.policy.on_nodes")} <code className="break">{rule.selector}</code>
          </span>
        )}
      </div>
      <Matches match={rule.match} />
      {rule.comment && <p className="small muted break">{rule.comment}</p>}
    </div>
  );
}
