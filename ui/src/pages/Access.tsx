// Who may do what, what was done, and what waits for a second person. Each part is an address of its own.
import { useTranslation } from "react-i18next";
import { NavLink, Navigate, useParams } from "react-router";
import { may, useMay, useMe } from "../data/session";
import { Empty } from "../kit/asked";
import { Approvals } from "./access/Approvals";
import { Audit } from "./access/Audit";
import { Connections } from "./access/Connections";
import { Policy } from "./access/Policy";
import { Roles } from "./access/Roles";
import { Secrets } from "./access/Secrets";
import { Sessions } from "./access/Sessions";
import { Tokens } from "./access/Tokens";
import { Users } from "./access/Users";

const PARTS = {
  approvals: { needs: "approval.read", page: Approvals },
  users: { needs: "user.read", page: Users },
  roles: { needs: "role.read", page: Roles },
  tokens: { needs: "", page: Tokens },
  sessions: { needs: "", page: Sessions },
  secrets: { needs: "secret.read", page: Secrets },
  connections: { needs: "connection.read", page: Connections },
  policy: { needs: "policy.read", page: Policy },
  audit: { needs: "audit.read", page: Audit },
} as const;
type Part = keyof typeof PARTS;

export function Access() {
  const { t } = useTranslation();
  const { part = "" } = useParams();
  const me = useMe();
  if (!(part in PARTS)) {
    const first = (Object.keys(PARTS) as Part[]).find((name) => PARTS[name].needs === "" || may(me.data, PARTS[name].needs));
    return <Navigate to={`/access/${first ?? "tokens"}`} replace />;
  }
  return (
    <>
      <div className="head">
        <h1>{t("place.access")}</h1>
        <nav className="segments" aria-label={t("place.access")}>
          {(Object.keys(PARTS) as Part[]).map((name) => (
            <NavLink key={name} to={`/access/${name}`} className="button">
              {t(`access.part.${name}`)}
            </NavLink>
          ))}
        </nav>
      </div>
      <Shown part={part as Part} />
    </>
  );
}

function Shown({ part }: { part: Part }) {
  const { t } = useTranslation();
  const { needs, page: Page } = PARTS[part];
  const allowed = useMay(needs);
  if (needs && !allowed) {
    return (
      <div className="panel">
        <Empty title={t("kit.denied")}>{t("kit.needs", { permission: needs })}</Empty>
      </div>
    );
  }
  return <Page />;
}
