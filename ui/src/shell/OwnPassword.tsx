// Who came in with a password somebody else chose sets one of his own before anything else is done. The form serves everybody else too.
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { useOwnPassword } from "../data/session";
import { Trouble } from "../kit/asked";

export function OwnPassword() {
  const { t } = useTranslation();
  return (
    <div className="login">
      <div className="panel stack">
        <h1>{t("login.own_password")}</h1>
        <PasswordForm />
      </div>
    </div>
  );
}

export function PasswordForm({ onDone }: { onDone?: () => void }) {
  const { t } = useTranslation();
  const change = useOwnPassword();
  const [old, setOld] = useState("");
  const [next, setNext] = useState("");
  return (
    <form
      className="stack"
      onSubmit={(event) => {
        event.preventDefault();
        change.mutate({ old, new: next }, { onSuccess: () => onDone?.() });
      }}
    >
      <label className="field">
        {t("login.password")}
        <input type="password" value={old} onChange={(event) => setOld(event.target.value)} autoComplete="current-password" autoFocus required />
      </label>
      <label className="field">
        {t("login.new_password")}
        <input type="password" value={next} onChange={(event) => setNext(event.target.value)} autoComplete="new-password" required />
      </label>
      {change.error && <Trouble error={change.error} />}
      <button className="primary" disabled={change.isPending}>
        {t("login.set_password")}
      </button>
    </form>
  );
}
