/** A button that says what will happen, with the equal call, before it acts. */
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { useMessages } from "~/app/i18n";
import { toast } from "~/app/toasts";
import { Button } from "~/parts/button";
import { type Call, CopyAs } from "~/parts/copy-as";
import { Dialog } from "~/parts/dialog";
import type { IconName } from "~/parts/icon";
import { ProblemNotice } from "~/parts/page";
import { type MadeBook, takeBook } from "./book";
import { messages } from "./messages";

interface AskButtonProps {
  label: string;
  icon: IconName;
  kind?: "primary" | "plain" | "danger";
  hint: string;
  call: Call;
  /** Says why it cannot be confirmed yet. */
  blocked?: string;
  /** Acts, and returns the changed book. */
  onConfirm: () => Promise<MadeBook>;
  /** The message after it, with numbers. */
  done: (book: MadeBook) => string;
  children?: ComponentChildren;
}

export function AskButton({ label, icon, kind = "plain", hint, call, blocked, onConfirm, done, children }: AskButtonProps) {
  const t = useMessages(messages);
  const [isOpen, setOpen] = useState(false);
  const [isBusy, setBusy] = useState(false);
  const [problem, setProblem] = useState<unknown>(null);
  const act = async () => {
    setBusy(true);
    setProblem(null);
    try {
      const book = await onConfirm();
      takeBook(book);
      toast({ text: done(book), tone: "good" });
      setOpen(false);
    } catch (error) {
      setProblem(error);
    }
    setBusy(false);
  };
  return (
    <>
      <Button kind={kind} icon={icon} onClick={() => setOpen(true)}>{label}</Button>
      <Dialog title={label} isOpen={isOpen} onClose={() => setOpen(false)}
        actions={
          <>
            <CopyAs call={call} />
            <Button onClick={() => setOpen(false)}>{t("keep")}</Button>
            <Button kind={kind === "danger" ? "danger" : "primary"} icon={icon} isBusy={isBusy} blocked={blocked} onClick={() => void act()}>{label}</Button>
          </>
        }>
        <p>{hint}</p>
        {children}
        {problem !== null && <ProblemNotice error={problem} />}
      </Dialog>
    </>
  );
}
