/** Sends all failed messages since a time again. */
import { useState } from "preact/hooks";
import { api, data } from "~/api/http";
import { useMessages } from "~/app/i18n";
import { toast } from "~/app/toasts";
import { Button } from "~/parts/button";
import { CopyAs } from "~/parts/copy-as";
import { Dialog } from "~/parts/dialog";
import { TextInput } from "~/parts/field";
import { ProblemNotice } from "~/parts/page";
import { followDelivery, useOwner } from "./index";
import { messages } from "./messages";

const DAY_MS = 86_400_000;

/** Return a time as a field of the type `datetime-local` has it. */
function local(time: Date): string {
  return new Date(time.getTime() - time.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

export function ResendFailed({ id }: { id: string }) {
  const t = useMessages(messages);
  const query = useOwner();
  const [isOpen, setOpen] = useState(false);
  const [since, setSince] = useState("");
  const [problem, setProblem] = useState<unknown>(null);
  const [isBusy, setBusy] = useState(false);
  const body = { since: since ? new Date(since).toISOString() : "" };
  const open = () => {
    setSince(local(new Date(Date.now() - DAY_MS)));
    setProblem(null);
    setOpen(true);
  };
  const send = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setProblem(null);
    try {
      const done = await data(api.POST("/api/v1/webhooks/{webhook_id}/redeliver", { params: { path: { webhook_id: id }, query }, body }));
      toast({ text: t("resent", { count: done.messages }), tone: "good" });
      followDelivery();
      setOpen(false);
    } catch (error) {
      setProblem(error);
    }
    setBusy(false);
  };
  return (
    <>
      <Button icon="undo" onClick={open}>{t("resendFailed")}</Button>
      <Dialog title={t("resendFailed")} isOpen={isOpen} onClose={() => setOpen(false)}
        actions={
          <>
            <CopyAs call={{ method: "POST", path: `/api/v1/webhooks/${id}/redeliver`, body, cli: `imagemill webhooks resend ${id} --since ${body.since}` }} />
            <Button type="submit" form="webhooks-resend" kind="primary" isBusy={isBusy}>{t("resend")}</Button>
          </>
        }>
        <form id="webhooks-resend" class="webhooks-form" onSubmit={(event) => void send(event)}>
          {problem !== null && <ProblemNotice error={problem} />}
          <TextInput label={t("since")} hint={t("sinceHint")} type="datetime-local" required value={since} onInput={setSince} />
        </form>
      </Dialog>
    </>
  );
}
