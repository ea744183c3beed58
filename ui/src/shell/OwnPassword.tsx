// Who came in with a password somebody else chose sets one of his own before anything else is done.
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { useOwnPassword } from "../data/session";
import { Trouble } from "../kit/asked";

export function OwnPassword() {
  const { t } = useTranslation();
  const change = useOwnPassword();
  const [old, setOld] = useState("");
  const [next, setNext] = useState("");
  return (
    <div className="login">
      <form
        className="panel stack"
        onSubmit={(event) => {
          event.preventDefault();
          change.mutate({ old, new: next });
        }}
      >
        <h1>{t("login.own_password")}</h1>
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
    </div>
  );
}
