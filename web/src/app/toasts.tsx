/** Short messages at the edge of the page, some with an undo. */
import { useSyncExternalStore } from "preact/compat";
import { Button, IconButton } from "~/parts/button";
import { useMessages } from "./i18n";
import { messages } from "./messages";

export interface Toast {
  text: string;
  tone?: "good" | "bad" | "plain";
  /** Called when the reader undoes within the time the toast is shown. */
  undo?: () => void;
  seconds?: number;
}

const SHOWN_S = 5;
interface Shown extends Toast {
  number: number;
}
let shown: Shown[] = [];
let count = 0;
const listeners = new Set<() => void>();

function change(next: Shown[]): void {
  shown = next;
  for (const listener of listeners) listener();
}

/** Show a message; it says numbers ("12 jobs canceled, 3 had ended"), not "done". Returns a function that removes it. */
export function toast(message: Toast): () => void {
  const entry = { ...message, number: ++count };
  const remove = () => change(shown.filter((each) => each !== entry));
  change([...shown.slice(-3), entry]);
  setTimeout(remove, (message.seconds ?? (message.tone === "bad" ? 12 : SHOWN_S)) * 1000);
  return remove;
}

/**
 * Carry out an action after the undo window of five seconds. `before` shows the outcome at once and returns the
 * function that takes it back.
 */
export function withUndo(text: string, act: () => Promise<unknown>, before: () => () => void = () => () => undefined): void {
  const takeBack = before();
  let isUndone = false;
  const remove = toast({
    text,
    undo: () => {
      isUndone = true;
      takeBack();
      remove();
    },
  });
  setTimeout(() => {
    if (!isUndone) act().catch((error: unknown) => {
      takeBack();
      toast({ text: error instanceof Error ? error.message : String(error), tone: "bad" });
    });
  }, SHOWN_S * 1000);
}

export function Toasts() {
  const t = useMessages(messages);
  const list = useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => shown,
  );
  return (
    <div class="toasts" role="status" aria-live="polite">
      {list.map((each) => (
        <div key={each.number} class={`toast toast-${each.tone ?? "plain"}`}>
          <span>{each.text}</span>
          {each.undo && <Button kind="quiet" onClick={each.undo}>{t("undo")}</Button>}
          <IconButton icon="close" label={t("close")} onClick={() => change(shown.filter((other) => other !== each))} />
        </div>
      ))}
    </div>
  );
}
