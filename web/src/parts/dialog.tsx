/** Dialogs and side panels, by the browser's own `<dialog>`: focus stays inside, Escape closes. */
import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";
import { useMessages } from "~/app/i18n";
import { messages } from "~/app/messages";
import { IconButton } from "./button";

interface DialogProps {
  title: string;
  isOpen: boolean;
  onClose: () => void;
  children: ComponentChildren;
  /** The buttons at the end. */
  actions?: ComponentChildren;
  /** A panel at the side (a sheet from below on a phone) instead of a box in the middle. */
  isSide?: boolean;
  isWide?: boolean;
}

export function Dialog({ title, isOpen, onClose, children, actions, isSide, isWide }: DialogProps) {
  const box = useRef<HTMLDialogElement>(null);
  const id = useId();
  const t = useMessages(messages);
  useEffect(() => {
    const element = box.current;
    if (!element) return;
    if (isOpen && !element.open) element.showModal();
    if (!isOpen && element.open) element.close();
  }, [isOpen]);
  return (
    <dialog ref={box} class={`dialog${isSide ? " dialog-side" : ""}${isWide ? " dialog-wide" : ""}`} aria-labelledby={id}
      onClose={onClose} onClick={(event) => event.target === box.current && onClose()}>
      {isOpen && (
        <div class="dialog-box">
          <header class="dialog-head">
            <h2 id={id}>{title}</h2>
            <IconButton icon="close" label={t("close")} onClick={onClose} />
          </header>
          <div class="dialog-body">{children}</div>
          {actions && <footer class="dialog-actions">{actions}</footer>}
        </div>
      )}
    </dialog>
  );
}
