// Connections: where databases and clusters are and as whom. The one that is looked at stands in the address.
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { useConnections, useDeleteConnection, type ConnectionView } from "../../data/connections";
import { Act } from "../../kit/Act";
import { useAddress } from "../../kit/address";
import { Asked, Empty } from "../../kit/asked";
import { ConfirmName } from "../../kit/ConfirmName";
import { When } from "../../kit/when";
import { ConnectionForm } from "./ConnectionForm";

/** `connection` as it was when it was opened (null: a new one). */
interface Opened {
  connection: ConnectionView | null;
}

export function Connections() {
  const { t } = useTranslation();
  const [address, set] = useAddress({ name: "" });
  const connections = useConnections();
  const [open, setOpen] = useState<Opened | null>(null);
  return (
    <div className="columns wide">
      <Asked query={connections}>
        {(found) => (
          <section className="panel stack" aria-label={t("access.part.connections")}>
            <div className="row">
              <h2 className="grow">{t("access.part.connections")}</h2>
              <Act needs="connection.write" not={open ? t("access.policy.one_at_a_time") : undefined} className="primary" onClick={() => setOpen({ connection: null })}>
                {t("access.connection.add")}
              </Act>
            </div>
            {found.length === 0 ? (
              <Empty title={t("access.connection.none")}>{t("access.connection.what")}</Empty>
            ) : (
              <div className="scroll">
                <table>
                  <tbody>
                    {found.map((one) => (
                      <tr key={one.name} aria-current={one.name === address.name ? "true" : undefined}>
                        <td>
                          <button className="link" onClick={() => set({ name: one.name })}>
                            {one.name}
                          </button>
                        </td>
                        <td>{one.engine}</td>
                        <td className="cut mono small">{whereOf(one)}</td>
                        <td className="mono small">{one.selector}</td>
                      </tr>
                    ))}
                  </tbody>
                </table>
              </div>
            )}
          </section>
        )}
      </Asked>
      {open ? (
        <ConnectionForm
          key={open.connection?.name ?? ""}
          opened={open.connection}
          connections={connections.data ?? []}
          onAgain={async () => (await connections.refetch()).data ?? []}
          onClose={() => setOpen(null)}
          onSaved={(name) => {
            setOpen(null);
            set({ name });
          }}
        />
      ) : (
        address.name !== "" && connections.data && <One name={address.name} connections={connections.data} onEdit={(connection) => setOpen({ connection })} onClose={() => set({ name: "" })} />
      )}
    </div>
  );
}

function One({ name, connections, onEdit, onClose }: { name: string; connections: readonly ConnectionView[]; onEdit: (connection: ConnectionView) => void; onClose: () => void }) {
  const { t } = useTranslation();
  const remove = useDeleteConnection();
  const [going, setGoing] = useState(false);
  const one = connections.find((connection) => connection.name === name);
  if (one === undefined) {
    return (
      <section className="panel">
        <Empty title={t("access.connection.no_such", { name })} />
      </section>
    );
  }
  const tls = Object.entries(one.tls ?? {});
  const options = Object.keys(one.options ?? {}).length > 0;
  return (
    <section className="panel stack" aria-label={one.name}>
      <div className="row">
        <h2 className="grow break">{one.name}</h2>
        <button className="plain" onClick={onClose} aria-label={t("kit.close")}>
          ✕
        </button>
      </div>
      {one.description && <p className="break">{one.description}</p>}
      <dl className="facts">
        <Fact name="engine">{one.engine}</Fact>
        <Fact name="host">{one.host && <code>{one.host}</code>}</Fact>
        <Fact name="port">{one.port}</Fact>
        <Fact name="database">{one.database && <code>{one.database}</code>}</Fact>
        <Fact name="user">{one.user && <code>{one.user}</code>}</Fact>
        <Fact name="password_secret">{one.password_secret && <code>{one.password_secret}</code>}</Fact>
        {tls.map(([key, text]) => (
          <div key={key} className="pair">
            <dt className="mono">{`tls.${key}`}</dt>
            <dd>
              <code>{text}</code>
            </dd>
          </div>
        ))}
        <div className="pair">
          <dt>{t("nodes.selector")}</dt>
          <dd>
            <code>{one.selector}</code>
          </dd>
        </div>
        <Fact name="changed">
          {one.changed_by} <When at={one.changed_at} /> · {t("access.secret.version", { version: one.resource_version })}
        </Fact>
      </dl>
      {options && (
        <>
          <h3 className="small muted">{t("access.connection.field.options")}</h3>
          <pre className="output">{JSON.stringify(one.options, null, 2)}</pre>
        </>
      )}
      <div className="row">
        <Act needs="connection.write" onClick={() => onEdit(one)}>
          {t("kit.edit")}
        </Act>
        <Act needs="connection.write" className="danger" onClick={() => setGoing(true)}>
          {t("access.connection.delete")}
        </Act>
      </div>
      {going && (
        <ConfirmName
          title={t("access.connection.delete")}
          name={one.name}
          busy={remove.isPending}
          error={remove.error}
          onClose={() => setGoing(false)}
          onYes={() =>
            remove.mutate(one.name, {
              onSuccess: () => {
                setGoing(false);
                onClose();
              },
            })
          }
        >
          <p>{t("access.connection.sure_delete")}</p>
        </ConfirmName>
      )}
    </section>
  );
}

function Fact({ name, children }: { name: string; children: React.ReactNode }) {
  const { t } = useTranslation();
  return (
    <div className="pair">
      <dt>{t(`access.connection.field.${name}`)}</dt>
      <dd>{children || <span className="muted">–</span>}</dd>
    </div>
  );
}

function whereOf(one: ConnectionView): string {
  return `${one.user && `${one.user}@`}${one.host}${one.port ? `:${one.port}` : ""}${one.database && `/${one.database}`}`;
}
