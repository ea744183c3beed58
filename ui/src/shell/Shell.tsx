// Around every page: where one can go, the palette, the keys, who one is.
import { useEffect, useState } from "react";
import { useTranslation } from "react-i18next";
import { NavLink, Outlet, useLocation, useNavigate } from "react-router";
import { useLogout, useMe } from "../data/session";
import { LANGUAGES, speak, type Language } from "../i18n";
import { KeySheet } from "./KeySheet";
import { Palette } from "./Palette";
import { PLACES } from "./places";
import { useKeys } from "./keys";
import { setTheme, theme, type Theme } from "./theme";

export function Shell() {
  const { t, i18n } = useTranslation();
  const navigate = useNavigate();
  const me = useMe();
  const logout = useLogout();
  const [open, setOpen] = useState<"" | "palette" | "keys">("");
  const [look, setLook] = useState<Theme>(theme);
  useKeys({ go: (path) => void navigate(path), palette: () => setOpen("palette"), sheet: () => setOpen("keys") });
  const { pathname } = useLocation();
  useEffect(() => {
    const [first = "", second = ""] = pathname.split("/").slice(1);
    const place = PLACES.find(({ path }) => path === `/${first}`);
    document.title = [second && decodeURIComponent(second), place ? t(`place.${place.name}`) : "", "Corral"].filter(Boolean).join(" · ");
  }, [pathname, t]);
  return (
    <div className="shell">
      <nav className="side" aria-label={t("shell.navigation")}>
        <NavLink to="/" className="brand">
          <svg viewBox="0 0 32 32" aria-hidden="true">
            <path d="M4 10h24M4 20h24M8 5v22M16 5v22M24 5v22" stroke="currentColor" strokeWidth="3" strokeLinecap="round" fill="none" />
          </svg>
          Corral
        </NavLink>
        {PLACES.map((place) => (
          <NavLink key={place.path} to={place.path} end={place.path === "/"} className="nav">
            {t(`place.${place.name}`)}
          </NavLink>
        ))}
        <div className="foot">
          <button onClick={() => setOpen("palette")} aria-keyshortcuts="Control+K">
            {t("shell.palette")} <kbd>⌘K</kbd>
          </button>
          <select
            aria-label={t("shell.theme")}
            value={look}
            onChange={(event) => {
              setTheme(event.target.value as Theme);
              setLook(event.target.value as Theme);
            }}
          >
            {(["auto", "light", "dark"] as const).map((name) => (
              <option key={name} value={name}>
                {t(`shell.theme_${name}`)}
              </option>
            ))}
          </select>
          <select aria-label={t("shell.language")} value={i18n.language} onChange={(event) => speak(event.target.value as Language)}>
            {Object.entries(LANGUAGES).map(([code, name]) => (
              <option key={code} value={code}>
                {name}
              </option>
            ))}
          </select>
          <div className="row small muted">
            <span className="grow break">{me.data?.name}</span>
            <button className="plain" onClick={() => logout.mutate()}>
              {t("shell.logout")}
            </button>
          </div>
        </div>
      </nav>
      <main id="main">
        <Outlet />
      </main>
      <Palette open={open === "palette"} onClose={() => setOpen("")} />
      <KeySheet open={open === "keys"} onClose={() => setOpen("")} />
    </div>
  );
}
