// A file dropped here becomes a revision. It is read once for its digest, then sent in parts; what failed goes on where it stopped.
import { useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { useUpload } from "../../data/files";
import { useMay } from "../../data/session";
import { Trouble } from "../../kit/asked";
import { bytes } from "../../kit/when";

export function Upload({ path, onDone }: { path: string; onDone: (path: string) => void }) {
  const { t } = useTranslation();
  const allowed = useMay("file.write");
  const picker = useRef<HTMLInputElement>(null);
  const [file, setFile] = useState<File | null>(null);
  const [name, setName] = useState("");
  const [over, setOver] = useState(false);
  const { progress, send, reset } = useUpload();
  const busy = ["reading", "sending", "sealing"].includes(progress.stage);
  const take = (found: File | undefined) => {
    if (!found || busy) return;
    reset();
    setFile(found);
    setName(path.split("/").pop() === found.name ? path : found.name);
  };
  if (!allowed) return <p className="muted panel">{t("kit.needs", { permission: "file.write" })}</p>;
  return (
    <section
      className={over ? "panel drop over" : "panel drop"}
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={(event) => {
        event.preventDefault();
        setOver(false);
        take(event.dataTransfer.files[0]);
      }}
    >
      <div className="row">
        <input ref={picker} type="file" className="hidden" tabIndex={-1} aria-hidden="true" onChange={(event) => {
            take(event.target.files?.[0]);
            event.target.value = ""; // or choosing the same file again, changed meanwhile, says nothing
          }} />
        <button onClick={() => picker.current?.click()} disabled={busy}>
          {t("files.choose")}
        </button>
        {file ? (
          <form
            className="row grow"
            onSubmit={(event) => {
              event.preventDefault();
              void send(file, name.trim());
            }}
          >
            <span className="small muted">
              {file.name}, {bytes(file.size)} {t("files.as")}
            </span>
            <input className="mono grow" value={name} onChange={(event) => setName(event.target.value)} aria-label={t("files.column.path")} disabled={busy} />
            <button className="primary" disabled={busy || !name.trim()}>
              {progress.stage === "failed" ? t("files.go_on") : t("files.upload")}
            </button>
          </form>
        ) : (
          <span className="muted">{t("files.drop")}</span>
        )}
      </div>
      {progress.stage !== "idle" && progress.stage !== "failed" && (
        <div className="row small">
          <progress max={Math.max(1, progress.size)} value={progress.done} className="grow" aria-label={t(`files.stage.${progress.stage}`)} />
          <span role="status">
            {progress.stage === "done" && progress.made
              ? t("files.made", { revision: progress.made.revision })
              : `${t(`files.stage.${progress.stage}`)} ${bytes(progress.done)} / ${bytes(progress.size)}`}
          </span>
          {progress.stage === "done" && progress.made && (
            <button className="plain" onClick={() => onDone(progress.made?.source_path ?? "")}>
              {t("files.show")}
            </button>
          )}
        </div>
      )}
      {progress.stage === "failed" && <Trouble error={unreadable(progress.error) ? new Error(t("files.unreadable")) : progress.error} />}
    </section>
  );
}

/** The browser reads a chosen file only as it was when it was chosen. */
function unreadable(error: unknown): boolean {
  return error instanceof DOMException && error.name === "NotReadableError";
}
