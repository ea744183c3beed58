// Which files Corral has put on a node, and which revision of each is there.
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import { useFilesOfNode } from "../../data/files";
import { useMay } from "../../data/session";
import { Asked } from "../../kit/asked";
import { When } from "../../kit/when";

export function NodeFiles({ node }: { node: string }) {
  const { t } = useTranslation();
  const readable = useMay("file.read");
  const files = useFilesOfNode(node, readable);
  return (
    <section className="panel" style={{ marginBottom: 14 }}>
      <h2>{t("node.files")}</h2>
      {!readable ? (
        <p className="muted">{t("kit.needs", { permission: "file.read" })}</p>
      ) : (
        <Asked query={files}>
          {(found) =>
            found.length === 0 ? (
              <p className="muted">{t("node.no_files")}</p>
            ) : (
              <div className="scroll">
                <table className="fit">
                  <tbody>
                    {[...found]
                      .sort((a, b) => a.dest.localeCompare(b.dest))
                      .map((one) => (
                        <tr key={one.dest}>
                          <td className="mono" style={{ minWidth: 240, overflowWrap: "anywhere" }}>
                            {one.dest}
                          </td>
                          <td className="cut" style={{ minWidth: 120 }}>
                            <Link to={`/files?path=${encodeURIComponent(one.source_path)}`}>{one.source_path}</Link>
                          </td>
                          <td className="nowrap">{t("node.revision", { revision: one.revision })}</td>
                          <td>
                            <When at={one.at} />
                          </td>
                          <td className="right nowrap">
                            <Link to={`/jobs/${one.job}?node=${encodeURIComponent(node)}`}>{t("node.put_by")}</Link>
                          </td>
                        </tr>
                      ))}
                  </tbody>
                </table>
              </div>
            )
          }
        </Asked>
      )}
    </section>
  );
}
