// One connection, new or edited. Its password is the name of a secret; what looks like a credential anywhere else the server refuses.
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { useSetConnection, type ConnectionView } from "../../data/connections";
import { useKinds } from "../../data/kinds";
import { useSecrets } from "../../data/secrets";
import { useMay } from "../../data/session";
import { changedMeanwhile, saidOf } from "../../data/write";
import { Trouble } from "../../kit/asked";
import { Changed } from "../../kit/Changed";
import { Field } from "../../kit/Field";
import { Rows } from "../../kit/Rows";
import { When } from "../../kit/when";
import { SaveRow } from "../../kit/SaveRow";
import { objectOf, pairsOf, rowsOfPairs } from "../../text/rows";
import { NodesField } from "./NodesField";

interface Props {
  opened: ConnectionView | null;
  connections: readonly ConnectionView[];
  onAgain: () => Promise<readonly ConnectionView[]>;
  onSaved: (name: string) => void;
  onClose: () => void;
}

const EXAMPLE = '{"review": {"drop": "error"}}';
/** What executors know of TLS (docs/sql.md, docs/executors.md); anything else can be typed. */
const TLS_KEYS = ["mode", "ca", "cert", "key"];
/** Those that show by themselves what the server says of them. */
const FIELDS = ["name", "engine", "host", "port", "database", "user", "password_secret", "tls", "options", "selector", "description"];

const typedOf = (one: ConnectionView | null) => ({
  name: one?.name ?? "",
  engine: one?.engine ?? "",
  host: one?.host ?? "",
  port: one?.port ? String(one.port) : "",
  database: one?.database ?? "",
  user: one?.user ?? "",
  password: one?.password_secret ?? "",
  tls: rowsOfPairs(one?.tls ?? {}),
  options: Object.keys(one?.options ?? {}).length > 0 ? JSON.stringify(one?.options, null, 2) : "",
  selector: one?.selector ?? "all",
  description: one?.description ?? "",
});

export function ConnectionForm({ opened, connections, onAgain, onSaved, onClose }: Props) {
  const { t } = useTranslation();
  const save = useSetConnection();
  const kinds = useKinds();
  const readable = useMay("secret.read");
  const secrets = useSecrets(readable);
  const [typed, setTyped] = useState(() => typedOf(opened));
  // What is overwritten by saving, and what the typed text began from: after reading anew the first is newer than the second.
  const [version, setVersion] = useState(opened?.resource_version ?? 0);
  const [based, setBased] = useState(version);
  const [shown, setShown] = useState(false);
  const set = (next: Partial<typeof typed>) => {
    setTyped((before) => ({ ...before, ...next }));
    if (save.isError && !changedMeanwhile(save.error)) save.reset();
  };
  const engines = [...new Set([...(kinds.data ?? []).flatMap((kind) => kind.engines), ...(opened ? [opened.engine] : [])])].sort();
  const { pairs: tls, wrong } = pairsOf(typed.tls);
  const options = objectOf(typed.options);
  const name = typed.name.trim();
  const there = connections.find((one) => one.name === name);
  const stale = changedMeanwhile(save.error);
  const taken = opened === null && (there !== undefined || stale) && !save.isPending;
  const said = (field: string) => saidOf(save.error, field);
  const title = opened === null ? t("access.connection.add") : t("access.connection.edit", { name: opened.name });
  const submit = () => {
    setShown(true);
    if (taken || options === null || wrong.some(Boolean)) return;
    const body = {
      engine: typed.engine,
      host: typed.host.trim(),
      port: typed.port.trim() === "" ? null : Number(typed.port),
      database: typed.database.trim(),
      user: typed.user.trim(),
      password_secret: typed.password.trim(),
      tls,
      options,
      selector: typed.selector.trim() || "all",
      description: typed.description.trim(),
    };
    save.mutate({ name, body, version }, { onSuccess: () => onSaved(name) });
  };
  return (
    <form
      className="panel stack"
      aria-label={title}
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      <h2 className="break">{title}</h2>
      <div className="fields">
        <Field label={t("access.connection.field.name")} wrong={taken ? t("access.connection.taken") : said("name")}>
          {(ids) => (
            <input
              {...ids}
              className="mono"
              value={typed.name}
              onChange={(event) => {
                set({ name: event.target.value });
                if (opened === null) save.reset();
              }}
              readOnly={opened !== null}
              autoFocus={opened === null}
              required
              autoComplete="off"
              spellCheck={false}
            />
          )}
        </Field>
        <Field label={t("access.connection.field.engine")} wrong={said("engine")}>
          {(ids) => (
            <select {...ids} value={typed.engine} onChange={(event) => set({ engine: event.target.value })} required>
              <option value="">{t("access.connection.choose")}</option>
              {engines.map((engine) => (
                <option key={engine}>{engine}</option>
              ))}
            </select>
          )}
        </Field>
        <Word field="host" text={typed.host} onType={(host) => set({ host })} wrong={said("host")} focus={opened !== null} />
        <Field label={t("access.connection.field.port")} wrong={said("port")}>
          {(ids) => <input {...ids} type="number" min={1} max={65535} step={1} value={typed.port} placeholder={t("access.connection.usual_port")} onChange={(event) => set({ port: event.target.value })} />}
        </Field>
        <Word field="database" text={typed.database} onType={(database) => set({ database })} wrong={said("database")} />
        <Word field="user" text={typed.user} onType={(user) => set({ user })} wrong={said("user")} />
        <Field label={t("access.connection.field.password_secret")} about={t("access.connection.password_how")} wrong={said("password_secret")}>
          {(ids) => (
            <>
              <input {...ids} className="mono" list="secret-names" value={typed.password} onChange={(event) => set({ password: event.target.value })} autoComplete="off" spellCheck={false} />
              <datalist id="secret-names">
                {(secrets.data ?? []).map((secret) => (
                  <option key={secret.name} value={secret.name} />
                ))}
              </datalist>
            </>
          )}
        </Field>
        <Field label={t("access.connection.field.description")} wrong={said("description")}>
          {(ids) => <input {...ids} value={typed.description} onChange={(event) => set({ description: event.target.value })} />}
        </Field>
      </div>
      <Rows legend={t("access.connection.field.tls")} rows={typed.tls} onChange={(rows) => set({ tls: rows })} keys={TLS_KEYS} wrong={wrong.map((why) => (why === "empty" && !shown ? "" : why))} said={said("tls")} />
      <Field label={t("access.connection.field.options")} about={t("access.connection.options_how")} wrong={options === null ? t("access.connection.no_object") : said("options")}>
        {(ids) => <textarea {...ids} className="mono" rows={Math.min(10, 1 + typed.options.split("\n").length)} value={typed.options} onChange={(event) => set({ options: event.target.value })} placeholder={EXAMPLE} spellCheck={false} />}
      </Field>
      <NodesField legend={t("access.connection.field.selector")} value={typed.selector} onChange={(selector) => set({ selector })} refused={save.error} />
      {stale && opened !== null && (
        <Changed
          typed
          onAgain={() =>
            void onAgain().then((found) => {
              setVersion(found.find((one) => one.name === name)?.resource_version ?? 0);
              save.reset();
            })
          }
        />
      )}
      {opened !== null && !stale && <Stored there={there} based={based} onTake={(one) => (setTyped(typedOf(one)), setBased(one.resource_version))} />}
      {save.error && !stale && !FIELDS.some(said) && <Trouble error={save.error} />}
      <SaveRow needs="connection.write" busy={save.isPending} stale={stale} readable={opened !== null} onBack={onClose} />
    </form>
  );
}

function Word({ field, text, onType, wrong, focus = false }: { field: string; text: string; onType: (text: string) => void; wrong: string; focus?: boolean }) {
  const { t } = useTranslation();
  return (
    <Field label={t(`access.connection.field.${field}`)} wrong={wrong}>
      {(ids) => <input {...ids} className="mono" value={text} onChange={(event) => onType(event.target.value)} autoFocus={focus} autoComplete="off" spellCheck={false} />}
    </Field>
  );
}

/** After reading anew: that somebody else changed it, and his version to take. */
function Stored({ there, based, onTake }: { there: ConnectionView | undefined; based: number; onTake: (one: ConnectionView) => void }) {
  const { t } = useTranslation();
  if (there?.resource_version === based) return null;
  return (
    <div className="note warn row" role="status">
      <span className="grow">
        {there === undefined ? (
          t("access.connection.is_gone")
        ) : (
          <>
            {t("access.connection.stored_by", { name: there.changed_by })} <When at={there.changed_at} />
          </>
        )}
      </span>
      {there && (
        <button type="button" onClick={() => onTake(there)}>
          {t("kit.take_stored")}
        </button>
      )}
    </div>
  );
}
