/** Filters that the browser keeps under a name. */
import { useState } from "preact/hooks";
import { useMessages } from "~/app/i18n";
import { usePreference } from "~/app/state";
import { toast } from "~/app/toasts";
import { Button } from "~/parts/button";
import { Dialog } from "~/parts/dialog";
import { TextInput } from "~/parts/field";
import { Menu } from "~/parts/menu";
import { messages } from "./messages";

interface SavedFilter {
  name: string;
  text: string;
}

export function SavedFilters({ text, onChoose }: { text: string; onChoose: (text: string) => void }) {
  const t = useMessages(messages);
  const [saved, setSaved] = usePreference<SavedFilter[]>("queue.filters", []);
  const [isOpen, setOpen] = useState(false);
  const [name, setName] = useState("");
  const save = () => {
    const given = name.trim() || text;
    setSaved([...saved.filter((each) => each.name !== given), { name: given, text }]);
    toast({ text: t("savedDone", { name: given }), tone: "good" });
    setOpen(false);
    setName("");
  };
  const current = saved.find((each) => each.text === text);
  const items = [
    ...saved.map((each) => ({ label: each.name, icon: "filter" as const, onSelect: () => onChoose(each.text) })),
    ...(text && !current ? [{ label: t("save"), icon: "star" as const, onSelect: () => setOpen(true) }] : []),
    ...(current ? [{ label: t("forget", { name: current.name }), icon: "delete" as const, onSelect: () => setSaved(saved.filter((each) => each !== current)) }] : []),
  ];
  return (
    <>
      {items.length > 0 && <Menu label={t("saved")} items={items}>{current?.name ?? t("saved")}</Menu>}
      <Dialog title={t("save")} isOpen={isOpen} onClose={() => setOpen(false)} actions={
        <>
          <Button onClick={() => setOpen(false)}>{t("back")}</Button>
          <Button kind="primary" icon="star" onClick={save}>{t("save")}</Button>
        </>
      }>
        <p><code>{text}</code></p>
        <TextInput label={t("saveName")} value={name} onInput={setName} maxLength={60} />
      </Dialog>
    </>
  );
}
