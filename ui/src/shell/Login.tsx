// Where one logs in. A link made by `corral login --link` needs none of this: it sets the session and goes to the first page.
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { useLogin } from "../data/session";
import { Trouble } from "../kit/asked";

export function Login() {
  const { t } = useTranslation();
  const login = useLogin();
  const [way, setWay] = useState<"token" | "password">("token");
  const [token, setToken] = useState("");
  const [username, setUsername] = useState("");
  const [password, setPassword] = useState("");
  const send = (event: React.FormEvent) => {
    event.preventDefault();
    login.mutate(way === "token" ? { token: token.trim() } : { name: username, password });
  };
  return (
    <div className="login">
      <form className="panel stack" onSubmit={send}>
        <h1>{t("login.title")}</h1>
        <div className="segments">
          <button type="button" aria-pressed={way === "token"} onClick={() => setWay("token")}>
            {t("login.token")}
          </button>
          <button type="button" aria-pressed={way === "password"} onClick={() => setWay("password")}>
            {t("login.password")}
          </button>
        </div>
        {way === "token" ? (
          <label className="field">
            {t("login.token")}
            <input type="password" className="mono" value={token} onChange={(event) => setToken(event.target.value)} autoComplete="off" autoFocus required />
          </label>
        ) : (
          <>
            <label className="field">
              {t("login.username")}
              <input value={username} onChange={(event) => setUsername(event.target.value)} autoComplete="username" autoFocus required />
            </label>
            <label className="field">
              {t("login.password")}
              <input type="password" value={password} onChange={(event) => setPassword(event.target.value)} autoComplete="current-password" required />
            </label>
          </>
        )}
        {login.error && <Trouble error={login.error} />}
        <button className="primary" disabled={login.isPending}>
          {t("login.enter")}
        </button>
        <p className="muted small">
          {t("login.link")} <code>corral login --link</code>
        </p>
      </form>
    </div>
  );
}
