/** What can be done with the selected pictures; without any, how to select. */
import { useEffect, useState } from "preact/hooks";
import { useMessages } from "~/app/i18n";
import { may } from "~/app/session";
import { toast } from "~/app/toasts";
import { Button } from "~/parts/button";
import { CopyAs } from "~/parts/copy-as";
import { Dialog } from "~/parts/dialog";
import { MOST, downloadZip, drawSheet, save } from "./actions";
import type { Shown } from "./artifacts";
import { messages } from "./messages";

interface SelectionBarProps {
  chosen: Shown[];
  loaded: number;
  isSelecting: boolean;
  onAll: () => void;
  onClear: () => void;
  onCompare: (ids: [string, string]) => void;
  onDelete: () => void;
}

export function SelectionBar({ chosen, loaded, isSelecting, onAll, onClear, onCompare, onDelete }: SelectionBarProps) {
  const t = useMessages(messages);
  const [busy, setBusy] = useState<"zip" | "sheet" | null>(null);
  const [sheet, setSheet] = useState<Blob | null>(null);
  const run = async (what: "zip" | "sheet", act: () => Promise<void>) => {
    setBusy(what);
    try {
      await act();
    } catch (error) {
      toast({ text: error instanceof Error ? error.message : String(error), tone: "bad" });
    } finally {
      setBusy(null);
    }
  };
  const [first, second] = chosen;
  const tooMany = chosen.length > MOST ? t("tooMany", { most: MOST }) : undefined;
  if (!loaded || (!chosen.length && !isSelecting)) return null;
  return (
    <div class="gallery-bar" role="toolbar" aria-label={t("selection")}>
      <strong>{t("selected", { count: chosen.length })}</strong>
      <Button kind="quiet" onClick={onAll}>{t("selectAll", { count: loaded })}</Button>
      <Button icon="download" blocked={tooMany ?? (chosen.length ? undefined : t("selectFirst"))} isBusy={busy === "zip"} onClick={() => void run("zip", () => downloadZip(chosen))}>{t("zip")}</Button>
      <Button icon="library" blocked={tooMany ?? (chosen.length ? undefined : t("selectFirst"))} isBusy={busy === "sheet"} onClick={() => void run("sheet", async () => setSheet(await drawSheet(chosen, "Imagemill")))}>{t("sheet")}</Button>
      <Button icon="eye" blocked={chosen.length === 2 ? undefined : t("twoToCompare")} onClick={() => first && second && onCompare([first.id, second.id])}>{t("compare")}</Button>
      {may("jobs:write") && <Button kind="danger" icon="delete" blocked={chosen.length ? undefined : t("selectFirst")} onClick={onDelete}>{t("delete")}</Button>}
      {chosen.length > 0 && <CopyAs call={{ method: "POST", path: "/api/v1/artifacts/zip", body: { ids: chosen.slice(0, MOST).map((item) => item.id) }, cli: `imagemill artifacts zip ${chosen.slice(0, 3).map((item) => item.id).join(" ")}${chosen.length > 3 ? " …" : ""}` }} />}
      <Button kind="quiet" icon="close" onClick={onClear}>{t("clear")}</Button>
      {sheet && <Sheet file={sheet} onClose={() => setSheet(null)} />}
    </div>
  );
}

function Sheet({ file, onClose }: { file: Blob; onClose: () => void }) {
  const t = useMessages(messages);
  const [address, setAddress] = useState("");
  useEffect(() => {
    const made = URL.createObjectURL(file);
    setAddress(made);
    return () => URL.revokeObjectURL(made);
  }, [file]);
  return (
    <Dialog title={t("sheet")} isOpen onClose={onClose} isWide actions={<Button kind="primary" icon="download" onClick={() => save(file, "contact-sheet.png")}>{t("download")}</Button>}>
      {address && <img class="gallery-sheet" src={address} alt={t("sheet")} />}
    </Dialog>
  );
}
