// Where one logs in. A link made by `corral login --link` needs none of this: it sets the session and goes to the first page.
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { useLogin, useWays } from "../data/session";
import { Trouble } from "../kit/asked";

type Way = "token" | "password" | "invite";

export function Login() {
  const { t } = useTranslation();
  const login = useLogin();
  const ways = useWays();
  // A server that cannot say how one logs in knows no passwords.
  const offered: Way[] = ways.data?.password ? ["password", "token", "invite"] : ["token"];
  const [chosen, setChosen] = useState<Way | null>(null);
  const way = chosen ?? offered[0] ?? "token";
  const [first, setFirst] = useState("");
  const [password, setPassword] = useState("");
  const send = (event: React.FormEvent) => {
    event.preventDefault();
    const word = first.trim();
    login.mutate(way === "token" ? { token: word } : way === "invite" ? { invite: word, password } : { name: word, password });
  };
  const choose = (next: Way) => {
    setChosen(next);
    setFirst("");
    setPassword("");
    login.reset();
  };
  return (
    <div className="login">
      <form className="panel stack" onSubmit={send}>
        <h1>{t("login.title")}</h1>
        {offered.length > 1 && (
          <div className="segments">
            {offered.map((name) => (
              <button key={name} type="button" aria-pressed={way === name} onClick={() => choose(name)}>
                {t(`login.way.${name}`)}
              </button>
            ))}
          </div>
        )}
        <label className="field">
          {t(`login.first.${way}`)}
          <input
            key={way}
            type={way === "token" ? "password" : "text"}
            className={way === "password" ? "" : "mono"}
            value={first}
            onChange={(event) => setFirst(event.target.value)}
            autoComplete={way === "password" ? "username" : "off"}
            autoFocus
            required
          />
        </label>
        {way !== "token" && (
          <label className="field">
            {t(way === "invite" ? "login.new_password" : "login.password")}
            <input
              type="password"
              value={password}
              onChange={(event) => setPassword(event.target.value)}
              autoComplete={way === "invite" ? "new-password" : "current-password"}
              required
            />
          </label>
        )}
        {login.error && <Trouble error={login.error} />}
        <button className="primary" disabled={login.isPending}>
          {t("login.enter")}
        </button>
        {ways.data?.oidc && (
          <a className="button" href={ways.data.oidc}>
            {t("login.oidc")}
          </a>
        )}
        <p className="muted small">
          {t("login.link")} <code>corral login --link</code>
        </p>
      </form>
    </div>
  );
}
