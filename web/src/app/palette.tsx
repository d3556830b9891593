/** The palette (Ctrl K): screens, a job by its id, and the actions that screens offer. */
import { useEffect, useMemo, useState } from "preact/hooks";
import { useLocation } from "wouter-preact";
import { Dialog } from "~/parts/dialog";
import { Icon, type IconName } from "~/parts/icon";
import { useMessages } from "./i18n";
import { messages } from "./messages";
import { offered } from "./shell";

export interface Command {
  label: string;
  icon: IconName;
  run: () => void;
}

const offers = new Set<() => Command[]>();

/** Offer commands while the component is shown. */
export function useCommands(list: () => Command[]): void {
  useEffect(() => {
    offers.add(list);
    return () => {
      offers.delete(list);
    };
  });
}

interface PaletteState {
  isOpen: boolean;
  open: () => void;
  close: () => void;
}

export function usePalette(): PaletteState {
  const [isOpen, setOpen] = useState(false);
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
        event.preventDefault();
        setOpen((was) => !was);
      }
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);
  return { isOpen, open: () => setOpen(true), close: () => setOpen(false) };
}

const JOB = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

export function Palette({ isOpen, close }: PaletteState) {
  const t = useMessages(messages);
  const [, navigate] = useLocation();
  const [text, setText] = useState("");
  const [at, setAt] = useState(0);
  useEffect(() => {
    setText("");
    setAt(0);
  }, [isOpen]);
  const found = useMemo(() => {
    if (!isOpen) return [];
    const screens: Command[] = offered().map((screen) => ({ label: t(screen.name), icon: screen.icon, run: () => navigate(screen.path) }));
    const all = [...screens, ...[...offers].flatMap((list) => list())];
    const word = text.trim().toLowerCase();
    const jobs: Command[] = JOB.test(word) ? [{ label: `${t("job")} ${word}`, icon: "queue", run: () => navigate(`/jobs/${word}`) }] : [];
    return [...jobs, ...all.filter((command) => command.label.toLowerCase().includes(word))].slice(0, 12);
  }, [isOpen, text, navigate, t]);
  const choose = (command: Command | undefined) => {
    if (!command) return;
    close();
    command.run();
  };
  const onKey = (event: KeyboardEvent) => {
    if (event.key === "ArrowDown") setAt(Math.min(at + 1, found.length - 1));
    else if (event.key === "ArrowUp") setAt(Math.max(at - 1, 0));
    else if (event.key === "Enter") choose(found[at]);
    else return;
    event.preventDefault();
  };
  return (
    <Dialog title={t("palette")} isOpen={isOpen} onClose={close}>
      <input class="palette-input" autofocus role="combobox" aria-expanded="true" aria-controls="palette-list" aria-label={t("paletteHint")} placeholder={t("paletteHint")}
        aria-activedescendant={found.length ? `palette-${at}` : undefined} value={text} onKeyDown={onKey}
        onInput={(event) => {
          setText(event.currentTarget.value);
          setAt(0);
        }} />
      <ul class="palette-list" id="palette-list" role="listbox" aria-label={t("palette")}>
        {found.map((command, index) => (
          <li key={command.label} id={`palette-${index}`} role="option" aria-selected={index === at} onClick={() => choose(command)} onMouseMove={() => setAt(index)}>
            <Icon name={command.icon} />
            {command.label}
          </li>
        ))}
      </ul>
      {!found.length && <p class="palette-none">{t("nothingFound")}</p>}
    </Dialog>
  );
}
