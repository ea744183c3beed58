// Where one is logged in, and for who manages people where everybody is. Ending a session takes effect at once; ending the one at
// hand brings the login up.
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { useEndSession, useSessions, type LoginSession } from "../../data/sessions";
import { useMay, useMe } from "../../data/session";
import { Act } from "../../kit/Act";
import { useAddress } from "../../kit/address";
import { Asked, Empty, Trouble } from "../../kit/asked";
import { Confirm } from "../../kit/Confirm";
import { Modal } from "../../kit/Modal";
import { When } from "../../kit/when";
import { PasswordForm } from "../../shell/OwnPassword";

export function Sessions() {
  const { t } = useTranslation();
  const [address, set] = useAddress({ whose: "mine" });
  const mayAll = useMay("user.read");
  const all = address.whose === "all" && mayAll;
  const sessions = useSessions(all);
  const end = useEndSession();
  const me = useMe();
  const own = (one: LoginSession) => one.current || (one.user !== null && one.user === me.data?.user);
  const [going, setGoing] = useState<LoginSession | null>(null);
  return (
    <section className="panel stack" aria-label={t("access.part.sessions")}>
      <div className="row">
        <div className="segments" role="group" aria-label={t("access.session.whose")}>
          <button aria-pressed={!all} onClick={() => set({ whose: "mine" })}>
            {t("access.session.mine")}
          </button>
          <Act needs="user.read" aria-pressed={all} onClick={() => set({ whose: "all" })}>
            {t("access.session.all")}
          </Act>
        </div>
        <span className="grow" />
        <OwnPassword />
      </div>
      {end.error && going === null && <Trouble error={end.error} />}
      <Asked query={sessions}>
        {(found) =>
          found.length === 0 ? (
            <Empty title={t("access.session.none")} />
          ) : (
            <div className="scroll">
              <table className="sessions">
                <thead>
                  <tr>
                    {["who", "begun", "used", "expires"].map((name) => (
                      <th key={name}>{t(`access.session.${name}`)}</th>
                    ))}
                    <th />
                  </tr>
                </thead>
                <tbody>
                  {found.map((one) => (
                    <tr key={one.id} aria-current={one.current ? "true" : undefined}>
                      <td>
                        <b className="break">{one.name}</b> {one.current && <span className="chip">{t("access.session.this")}</span>}
                        <div className="small muted">
                          {t(`access.session.by.${one.method}`, { defaultValue: one.method })}
                          {one.address && " · "}
                          <span className="mono break">{one.address}</span>
                        </div>
                      </td>
                      <td>
                        <When at={one.created_at} />
                      </td>
                      <td>
                        <When at={one.refreshed_at} />
                      </td>
                      <td>
                        <When at={one.expires_at} />
                      </td>
                      <td className="right">
                        <End own={own(one)} name={one.name} busy={end.isPending} onClick={() => (one.current ? (end.reset(), setGoing(one)) : end.mutate({ id: one.id, own: own(one) }))} />
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          )
        }
      </Asked>
      <p className="small muted">{t("access.session.how")}</p>
      {going && (
        <Confirm
          title={t("access.session.end_this")}
          busy={end.isPending}
          error={end.error}
          onClose={() => setGoing(null)}
          onYes={() => end.mutate({ id: going.id, own: true }, { onSuccess: () => setGoing(null) })}
        >
          <p>{t("access.session.sure_this")}</p>
        </Confirm>
      )}
    </section>
  );
}

/** Everybody may end his own; other people's needs a permission. */
function End({ own, name, busy, onClick }: { own: boolean; name: string; busy: boolean; onClick: () => void }) {
  const { t } = useTranslation();
  const props = { className: "plain", disabled: busy, onClick, "aria-label": t("access.session.end_of", { name }), children: t("access.session.end") };
  return own ? <button {...props} /> : <Act needs="user.write" {...props} />;
}

function OwnPassword() {
  const { t } = useTranslation();
  const me = useMe();
  const [open, setOpen] = useState(false);
  const [done, setDone] = useState(false);
  return (
    <>
      {done && (
        <span className="small ink-good" role="status">
          {t("access.session.password_set")}
        </span>
      )}
      <button onClick={() => setOpen(true)} disabled={!me.data?.user} title={me.data?.user ? undefined : t("access.session.no_user")}>
        {t("access.session.password")}
      </button>
      {open && (
        <Modal open title={t("access.session.password")} onClose={() => setOpen(false)}>
          <p className="small muted">{t("access.session.password_how")}</p>
          <PasswordForm
            onDone={() => {
              setOpen(false);
              setDone(true);
            }}
          />
        </Modal>
      )}
    </>
  );
}
