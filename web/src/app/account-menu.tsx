/** The menu of the reader: who is signed in, theme, language, sign out. */
import { useState } from "preact/hooks";
import { useLocation } from "wouter-preact";
import { Button } from "~/parts/button";
import { Dialog } from "~/parts/dialog";
import { Select } from "~/parts/field";
import { Menu } from "~/parts/menu";
import { LANGUAGES, type Language, setLanguage, useLanguage, useMessages } from "./i18n";
import { messages } from "./messages";
import { signOut, useSession } from "./session";
import { type Theme, setTheme, theme } from "./theme";

export function AccountMenu() {
  const t = useMessages(messages);
  const { me, isReadOnly } = useSession();
  const language = useLanguage();
  const [, navigate] = useLocation();
  const [isOpen, setOpen] = useState(false);
  const [chosen, setChosen] = useState<Theme>(theme());
  const name = me?.owner ?? "";
  const items = [
    { label: `${t("theme")}, ${t("language")}`, icon: "settings" as const, onSelect: () => setOpen(true) },
    ...(me?.credential ? [{ label: t("sessions"), icon: "people" as const, onSelect: () => navigate("/people?tab=sessions") }] : []),
    { label: t("start"), icon: "info" as const, onSelect: () => navigate("/start") },
    ...(me?.credential ? [{ label: t("signOut"), icon: "signOut" as const, onSelect: () => void signOut() }] : []),
  ];
  return (
    <>
      {isReadOnly && <span class="read-only" title={t("readOnlyHint")}>{t("readOnly")}</span>}
      <Menu label={t("account")} items={items}>{name || t("account")}</Menu>
      <Dialog title={`${t("theme")}, ${t("language")}`} isOpen={isOpen} onClose={() => setOpen(false)} actions={<Button kind="primary" onClick={() => setOpen(false)}>{t("close")}</Button>}>
        <Select label={t("theme")} value={chosen}
          onChange={(value) => {
            setTheme(value as Theme);
            setChosen(value as Theme);
          }}
          options={(["system", "light", "dark"] as const).map((value) => ({ value, label: t(value) }))} />
        <Select label={t("language")} value={language} onChange={(value) => setLanguage(value as Language)}
          options={Object.entries(LANGUAGES).map(([value, label]) => ({ value, label }))} />
      </Dialog>
    </>
  );
}
