// Roles, who holds them on which nodes, and the question that matters: may this person do that there?
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { useCanI, useGrant, useGrants, useRoles, useTakeBack, type RoleView } from "../../data/access";
import { Act } from "../../kit/Act";
import { Asked, Trouble } from "../../kit/asked";
import { useAddress } from "../../kit/address";
import { When } from "../../kit/when";

export function Roles() {
  const roles = useRoles();
  return (
    <>
      <Question roles={roles.data ?? []} />
      <div className="columns wide">
        <Asked query={roles}>{(found) => <Held roles={found} />}</Asked>
        <Asked query={roles}>{(found) => <Words roles={found} />}</Asked>
      </div>
    </>
  );
}

function Question({ roles }: { roles: readonly RoleView[] }) {
  const { t } = useTranslation();
  const [address, set] = useAddress({ user: "", permission: "exec.run", selector: "" });
  const answer = useCanI(address.user, address.permission, address.selector);
  const words = [...new Set(roles.flatMap((role) => role.permissions))].sort();
  const verdict = answer.data?.verdict ?? "";
  return (
    <section className="panel stack">
      <h2>{t("access.question")}</h2>
      <div className="row">
        <input value={address.user} onChange={(event) => set({ user: event.target.value })} placeholder={t("access.myself")} aria-label={t("access.user.name")} />
        <input className="mono" list="permission-words" value={address.permission} onChange={(event) => set({ permission: event.target.value })} aria-label={t("access.permission")} />
        <datalist id="permission-words">
          {words.map((word) => (
            <option key={word} value={word} />
          ))}
        </datalist>
        <input className="mono grow" value={address.selector} onChange={(event) => set({ selector: event.target.value })} placeholder={t("access.anywhere")} aria-label={t("nodes.selector")} data-filter="true" />
      </div>
      {answer.error ? (
        <Trouble error={answer.error} />
      ) : (
        answer.data && (
          <div className={`note ${verdict === "yes" ? "good" : verdict === "no" ? "bad" : "warn"}`} role="status">
            <b>{t(`access.verdict.${verdict}`, { defaultValue: verdict })}</b> {answer.data.why}
            {(answer.data.outside ?? []).length > 0 && <div className="small break">{t("access.outside", { nodes: (answer.data.outside ?? []).slice(0, 12).join(", ") })}</div>}
          </div>
        )
      )}
    </section>
  );
}

function Held({ roles }: { roles: readonly RoleView[] }) {
  const { t } = useTranslation();
  const grants = useGrants();
  const give = useGrant();
  const takeBack = useTakeBack();
  const [subject, setSubject] = useState("");
  const [kind, setKind] = useState<"user" | "group">("user");
  const [role, setRole] = useState("");
  const [selector, setSelector] = useState("all");
  return (
    <section className="panel stack">
      <h2>{t("access.grants")}</h2>
      <Asked query={grants}>
        {(found) =>
          found.length === 0 ? (
            <p className="muted">{t("access.no_grants")}</p>
          ) : (
            <table className="fit">
              <tbody>
                {found.map((grant) => (
                  <tr key={grant.id}>
                    <td className="nowrap">
                      {grant.subject} <span className="muted small">{t(`access.kind.${grant.subject_kind}`)}</span>
                    </td>
                    <td className="nowrap">{grant.role}</td>
                    <td className="cut mono">{grant.selector}</td>
                    <td>
                      <When at={grant.created_at} />
                    </td>
                    <td className="right">
                      <Act needs="role.write" className="plain" onClick={() => takeBack.mutate(grant.id)} disabled={takeBack.isPending}>
                        {t("access.take_back")}
                      </Act>
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          )
        }
      </Asked>
      <form
        className="row"
        onSubmit={(event) => {
          event.preventDefault();
          give.mutate({ subject: subject.trim(), subject_kind: kind, role: role || (roles[0]?.name ?? ""), selector });
        }}
      >
        <select value={kind} onChange={(event) => setKind(event.target.value as "user" | "group")} aria-label={t("access.kind_of")}>
          <option value="user">{t("access.kind.user")}</option>
          <option value="group">{t("access.kind.group")}</option>
        </select>
        <input size={12} value={subject} onChange={(event) => setSubject(event.target.value)} placeholder={t("access.user.name")} aria-label={t("access.subject")} />
        <select value={role} onChange={(event) => setRole(event.target.value)} aria-label={t("access.role")}>
          {roles.map((one) => (
            <option key={one.name}>{one.name}</option>
          ))}
        </select>
        <input className="mono grow" value={selector} onChange={(event) => setSelector(event.target.value)} aria-label={t("nodes.selector")} />
        <Act needs="role.write" disabled={!subject.trim() || give.isPending}>
          {t("access.grant")}
        </Act>
      </form>
      {(give.error || takeBack.error) && <Trouble error={give.error ?? takeBack.error} />}
    </section>
  );
}

function Words({ roles }: { roles: readonly RoleView[] }) {
  const { t } = useTranslation();
  return (
    <section className="panel stack">
      <h2>{t("access.part.roles")}</h2>
      {roles.map((role) => (
        <details key={role.name}>
          <summary>
            <b>{role.name}</b> <span className="muted">{role.ready ? t(`access.ready.${role.name}`, { defaultValue: role.description }) : role.description}</span>
            {role.max_nodes !== null && <span className="chip">{t("access.at_most", { count: role.max_nodes })}</span>}
          </summary>
          <div className="chips" style={{ marginTop: 6 }}>
            {role.permissions.map((word) => (
              <span key={word} className="chip">
                {word}
              </span>
            ))}
          </div>
        </details>
      ))}
    </section>
  );
}
