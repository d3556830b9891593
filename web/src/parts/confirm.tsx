/** A button for what cannot be undone: it asks before it acts. */
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { defineMessages, useMessages } from "~/app/i18n";
import { Button } from "./button";
import { type Call, CopyAs } from "./copy-as";
import { Dialog } from "./dialog";
import type { IconName } from "./icon";
import { ProblemNotice } from "./page";

const messages = defineMessages({
  en: { keep: "Leave as it is" },
  pt: { keep: "Deixar como está" },
  es: { keep: "Dejar como está" },
  uk: { keep: "Залишити як є" },
});

interface ConfirmButtonProps {
  label: string;
  icon?: IconName;
  /** What will happen, with names and numbers. */
  question: ComponentChildren;
  /** Names the thing for readers of the screen where the label alone stands in many rows. */
  of?: string;
  call?: Call;
  onConfirm: () => Promise<unknown>;
}

export function ConfirmButton({ label, icon = "delete", question, of, call, onConfirm }: ConfirmButtonProps) {
  const t = useMessages(messages);
  const [isOpen, setOpen] = useState(false);
  const [isBusy, setBusy] = useState(false);
  const [problem, setProblem] = useState<unknown>(null);
  const act = async () => {
    setBusy(true);
    setProblem(null);
    try {
      await onConfirm();
      setOpen(false);
    } catch (error) {
      setProblem(error);
    }
    setBusy(false);
  };
  return (
    <>
      <Button kind="danger" icon={icon} aria-label={of ? `${label}: ${of}` : undefined} onClick={() => setOpen(true)}>{label}</Button>
      <Dialog title={of ? `${label}: ${of}` : label} isOpen={isOpen} onClose={() => setOpen(false)}
        actions={
          <>
            {call && <CopyAs call={call} />}
            <Button onClick={() => setOpen(false)}>{t("keep")}</Button>
            <Button kind="danger" icon={icon} isBusy={isBusy} onClick={() => void act()}>{label}</Button>
          </>
        }>
        <p>{question}</p>
        {problem !== null && <ProblemNotice error={problem} />}
      </Dialog>
    </>
  );
}
