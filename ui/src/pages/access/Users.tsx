// People. A new one gets an invitation, shown once; nobody sees anybody's password.
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import { useDisable, useInvite, useRoles, useUsers } from "../../data/access";
import { Act } from "../../kit/Act";
import { Asked, Empty, Trouble } from "../../kit/asked";
import { Copy } from "../../kit/copy";
import { State } from "../../kit/states";
import { When } from "../../kit/when";

export function Users() {
  const { t } = useTranslation();
  const users = useUsers();
  const disable = useDisable();
  return (
    <>
      <Invite />
      {disable.error && <Trouble error={disable.error} />}
      <Asked query={users}>
        {(data) => {
          const rows = data.pages.flatMap((one) => one.data);
          return (
            <section className="panel scroll">
              {rows.length === 0 ? (
                <Empty title={t("access.no_users")}>{t("access.no_users_how")}</Empty>
              ) : (
                <table>
                  <thead>
                    <tr>
                      {["name", "mail", "from", "last", "state"].map((name) => (
                        <th key={name}>{t(`access.user.${name}`)}</th>
                      ))}
                      <th />
                    </tr>
                  </thead>
                  <tbody>
                    {rows.map((user) => (
                      <tr key={user.id}>
                        <td className="cut">
                          <Link to={`/access/roles?user=${encodeURIComponent(user.name)}`}>{user.name}</Link> <span className="muted">{user.display_name}</span>
                        </td>
                        <td className="cut">{user.email}</td>
                        <td>{user.source}</td>
                        <td>
                          <When at={user.last_login_at} />
                        </td>
                        <td>
                          <State state={user.disabled ? "disabled" : user.invited ? "invited" : "active"} />
                        </td>
                        <td className="right">
                          <Act needs="user.write" className="plain" disabled={disable.isPending} onClick={() => disable.mutate({ user, disabled: !user.disabled })}>
                            {t(user.disabled ? "access.enable" : "access.disable")}
                          </Act>
                        </td>
                      </tr>
                    ))}
                  </tbody>
                </table>
              )}
              {users.hasNextPage && <button onClick={() => void users.fetchNextPage()}>{t("kit.more")}</button>}
            </section>
          );
        }}
      </Asked>
    </>
  );
}

function Invite() {
  const { t } = useTranslation();
  const roles = useRoles();
  const invite = useInvite();
  const [name, setName] = useState("");
  const [mail, setMail] = useState("");
  const [role, setRole] = useState("");
  const made = invite.data;
  return (
    <section className="panel stack">
      <form
        className="row"
        onSubmit={(event) => {
          event.preventDefault();
          invite.mutate({ name: name.trim(), display_name: "", email: mail.trim(), roles: role ? [role] : [] }, { onSuccess: () => (setName(""), setMail("")) });
        }}
      >
        <input value={name} onChange={(event) => setName(event.target.value)} placeholder={t("access.user.name")} aria-label={t("access.user.name")} required />
        <input type="email" value={mail} onChange={(event) => setMail(event.target.value)} placeholder={t("access.user.mail")} aria-label={t("access.user.mail")} />
        <select value={role} onChange={(event) => setRole(event.target.value)} aria-label={t("access.role")}>
          <option value="">{t("access.no_role")}</option>
          {(roles.data ?? []).map((one) => (
            <option key={one.name}>{one.name}</option>
          ))}
        </select>
        <Act needs="user.write" className="primary" disabled={!name.trim() || invite.isPending}>
          {t("access.invite")}
        </Act>
      </form>
      {invite.error && <Trouble error={invite.error} />}
      {made?.invite && (
        <div className="note good row">
          <span className="grow break">
            {t("access.invited", { name: made.name })} <code>{made.invite}</code>
          </span>
          <Copy text={made.invite} />
        </div>
      )}
    </section>
  );
}
