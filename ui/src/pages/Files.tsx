// Files that are brought to nodes: every upload is a revision, revisions are compared, applied and rolled back.
import { useTranslation } from "react-i18next";
import { useArtifacts } from "../data/files";
import { Asked, Empty } from "../kit/asked";
import { useAddress } from "../kit/address";
import { When, bytes } from "../kit/when";
import { Artifact } from "./files/Artifact";
import { Upload } from "./files/Upload";

export function Files() {
  const { t } = useTranslation();
  const [address, set] = useAddress({ path: "", filter: "", from: "", to: "" });
  const artifacts = useArtifacts();
  // What is compared belongs to one artifact.
  const show = (path: string) => set({ path, from: "", to: "" });
  return (
    <>
      <div className="head">
        <h1>{t("place.files")}</h1>
        <input
          value={address.filter}
          onChange={(event) => set({ filter: event.target.value })}
          placeholder={t("files.filter")}
          aria-label={t("files.filter")}
          data-filter="true"
        />
      </div>
      <Upload path={address.path} onDone={show} />
      <Asked query={artifacts}>
        {(data) => {
          const all = data.pages.flatMap((one) => one.data);
          const rows = all.filter((one) => one.source_path.includes(address.filter));
          if (all.length === 0) {
            return (
              <div className="panel">
                <Empty title={t("files.none")}>{t("files.what")}</Empty>
              </div>
            );
          }
          return (
            <div className="beside">
              <section className="panel scroll">
                <table className="fit">
                  <thead>
                    <tr>
                      {["path", "revision", "size", "when"].map((name) => (
                        <th key={name}>{t(`files.column.${name}`)}</th>
                      ))}
                    </tr>
                  </thead>
                  <tbody>
                    {rows.map((one) => (
                      <tr key={one.source_path} aria-current={one.source_path === address.path}>
                        <td className="cut">
                          <button className="link mono" onClick={() => show(one.source_path)}>
                            {one.source_path}
                          </button>
                        </td>
                        <td>{one.revision}</td>
                        <td className="nowrap">{bytes(one.size)}</td>
                        <td>
                          <When at={one.created_at} />
                        </td>
                      </tr>
                    ))}
                  </tbody>
                </table>
                {rows.length === 0 && <p className="muted">{t("files.none_match")}</p>}
                {artifacts.hasNextPage && <button onClick={() => void artifacts.fetchNextPage()}>{t("kit.more")}</button>}
              </section>
              {address.path && <Artifact key={address.path} path={address.path} />}
            </div>
          );
        }}
      </Asked>
    </>
  );
}
