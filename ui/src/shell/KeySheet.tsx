import { useTranslation } from "react-i18next";
import { Modal } from "../kit/Modal";
import { PLACES } from "./places";

export function KeySheet({ open, onClose }: { open: boolean; onClose: () => void }) {
  const { t } = useTranslation();
  const rows: [string, string][] = [
    ["⌘K", t("shell.palette")],
    ["/", t("keys.filter")],
    ["?", t("keys.sheet")],
    ["␣", t("keys.replay")],
    ...PLACES.map(({ key, name }): [string, string] => [`g ${key}`, t(`place.${name}`)]),
  ];
  return (
    <Modal open={open} onClose={onClose} title={t("keys.title")}>
      <dl className="facts">
        {rows.map(([keys, words]) => (
          <div key={keys} style={{ display: "contents" }}>
            <dt>
              <kbd>{keys}</kbd>
            </dt>
            <dd>{words}</dd>
          </div>
        ))}
      </dl>
    </Modal>
  );
}
