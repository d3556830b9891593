/** The form of a new endpoint, or of one that is changed; the secret of a new one is shown once. */
import { useState } from "preact/hooks";
import { useLocation } from "wouter-preact";
import { Problem, type Schema, api, data } from "~/api/http";
import { queries } from "~/api/queries";
import { useMessages } from "~/app/i18n";
import { useDraft } from "~/app/state";
import { toast } from "~/app/toasts";
import { Button } from "~/parts/button";
import { CopyAs, CopyText } from "~/parts/copy-as";
import { Dialog } from "~/parts/dialog";
import { Checkbox, TextInput } from "~/parts/field";
import { Notice, ProblemNotice } from "~/parts/page";
import { type Endpoint, useOwner } from "./index";
import { messages } from "./messages";

type EventName = NonNullable<Schema<"EndpointBody">["events"]>[number];

export const EVENTS: EventName[] = ["job.created", "job.started", "job.progress", "job.retried", "job.succeeded", "job.failed", "job.canceled", "job.expired"];
const ENDS: EventName[] = ["job.succeeded", "job.failed", "job.canceled", "job.expired"];

export function EndpointForm({ isOpen, onClose, endpoint }: { isOpen: boolean; onClose: () => void; endpoint?: Endpoint }) {
  const t = useMessages(messages);
  const query = useOwner();
  const [, navigate] = useLocation();
  const [draft, setDraft, clear] = useDraft(`webhooks.${endpoint?.id ?? "new"}`, { url: endpoint?.url ?? "", description: endpoint?.description ?? "", events: endpoint ? EVENTS.filter((name) => endpoint.events.includes(name)) : ENDS });
  const [made, setMade] = useState<{ id: string; secret: string } | null>(null);
  const [problem, setProblem] = useState<unknown>(null);
  const [isBusy, setBusy] = useState(false);
  const errors = problem instanceof Problem ? problem.errors : {};
  const submit = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setProblem(null);
    try {
      if (endpoint) {
        await data(api.PATCH("/api/v1/webhooks/{webhook_id}", { params: { path: { webhook_id: endpoint.id }, query }, body: draft }));
        toast({ text: t("changed", { count: draft.events.length }), tone: "good" });
        onClose();
      } else {
        setMade(await data(api.POST("/api/v1/webhooks", { body: draft })));
        clear();
      }
      await queries.invalidateQueries({ queryKey: ["webhooks"] });
    } catch (error) {
      setProblem(error);
    }
    setBusy(false);
  };
  if (made) {
    const done = () => {
      onClose();
      navigate(`/webhooks/${made.id}`);
    };
    return <SecretDialog secret={made.secret} isOpen={isOpen} onClose={done} />;
  }
  const toggle = (name: EventName, isOn: boolean) => setDraft({ ...draft, events: isOn ? [...draft.events, name] : draft.events.filter((each) => each !== name) });
  return (
    <Dialog title={endpoint ? t("edit") : t("add")} isOpen={isOpen} onClose={onClose}
      actions={
        <>
          <CopyAs call={endpoint ? { method: "PATCH", path: `/api/v1/webhooks/${endpoint.id}`, body: draft } : { method: "POST", path: "/api/v1/webhooks", body: draft, cli: `imagemill webhooks create ${draft.url || "URL"}${draft.events.map((event) => ` --event ${event}`).join("")}` }} />
          <Button type="submit" form="webhooks-form" kind="primary" isBusy={isBusy} blocked={draft.events.length ? undefined : t("oneEvent")}>{endpoint ? t("save") : t("add")}</Button>
        </>
      }>
      <form id="webhooks-form" class="webhooks-form" onSubmit={(event) => void submit(event)}>
        {problem !== null && !errors.url && <ProblemNotice error={problem} />}
        <TextInput label={t("url")} hint={t("urlHint")} type="url" required value={draft.url} error={errors.url?.join("; ")} onInput={(url) => setDraft({ ...draft, url })} />
        <TextInput label={t("description")} maxLength={200} value={draft.description} onInput={(description) => setDraft({ ...draft, description })} />
        <fieldset class="webhooks-events">
          <legend>{t("events")}</legend>
          {EVENTS.map((name) => <Checkbox key={name} label={<code>{name}</code>} isChecked={draft.events.includes(name)} onChange={(isOn) => toggle(name, isOn)} />)}
        </fieldset>
      </form>
    </Dialog>
  );
}

export function SecretDialog({ secret, isOpen, onClose }: { secret: string; isOpen: boolean; onClose: () => void }) {
  const t = useMessages(messages);
  return (
    <Dialog title={t("secret")} isOpen={isOpen} onClose={onClose} actions={<Button kind="primary" onClick={onClose}>{t("keptIt")}</Button>}>
      <Notice tone="warn"><p>{t("shownOnce")}</p></Notice>
      <CopyText label={t("secret")} text={secret} />
    </Dialog>
  );
}
