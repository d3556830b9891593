/** The dialog that adds a ComfyUI server. */
import { useState } from "preact/hooks";
import { Problem, api, data } from "~/api/http";
import { refresh } from "~/api/queries";
import { useMessages } from "~/app/i18n";
import { useDraft } from "~/app/state";
import { toast } from "~/app/toasts";
import { Button } from "~/parts/button";
import { CopyAs } from "~/parts/copy-as";
import { Dialog } from "~/parts/dialog";
import { NumberInput, TextInput } from "~/parts/field";
import { ProblemNotice } from "~/parts/page";
import { messages } from "./messages";

interface Draft {
  name: string;
  url: string;
  labels: string;
  slots: number | null;
}

const EMPTY: Draft = { name: "", url: "http://127.0.0.1:8188", labels: "", slots: null };

export function AddNode({ isOpen, onClose }: { isOpen: boolean; onClose: () => void }) {
  const t = useMessages(messages);
  const [draft, setDraft, clear] = useDraft("node", EMPTY);
  const [problem, setProblem] = useState<unknown>(null);
  const [isBusy, setBusy] = useState(false);
  const labels = draft.labels.split(/[\s,]+/).filter(Boolean);
  const body = { name: draft.name.trim(), url: draft.url.trim(), ...(labels.length ? { labels } : {}), ...(draft.slots ? { slots: draft.slots } : {}) };
  const wrong = (field: string) => (problem instanceof Problem ? problem.errors[field]?.join("; ") : undefined);
  const add = async () => {
    setBusy(true);
    setProblem(null);
    try {
      const made = await data(api.POST("/api/v1/nodes", { body }));
      toast({ text: t("added", { name: made.name }), tone: "good" });
      clear();
      refresh("nodes", "models");
      onClose();
    } catch (error) {
      setProblem(error);
    } finally {
      setBusy(false);
    }
  };
  const known = ["name", "url", "labels", "slots"].some((field) => wrong(field));
  return (
    <Dialog title={t("add")} isOpen={isOpen} onClose={onClose}
      actions={<>
        <CopyAs call={{ method: "POST", path: "/api/v1/nodes", body, cli: `imagemill nodes add ${body.name || "NAME"} ${body.url}` }} />
        <Button kind="primary" type="submit" form="add-node" isBusy={isBusy}>{t("addNow")}</Button>
      </>}>
      <form class="nodes-form" id="add-node" onSubmit={(event) => { event.preventDefault(); void add(); }}>
        <TextInput label={t("name")} hint={t("nameHint")} error={wrong("name")} value={draft.name} onInput={(name) => setDraft({ ...draft, name })} autoComplete="off" />
        <TextInput label={t("address")} hint={t("addressHint")} error={wrong("url")} value={draft.url} onInput={(url) => setDraft({ ...draft, url })} inputMode="url" />
        <TextInput label={t("labels")} hint={t("labelsHint")} error={wrong("labels")} value={draft.labels} onInput={(value) => setDraft({ ...draft, labels: value })} />
        <NumberInput label={t("slots")} hint={t("slotsHint")} error={wrong("slots")} value={draft.slots} min={1} onInput={(slots) => setDraft({ ...draft, slots })} />
      </form>
      {problem !== null && !known && <ProblemNotice error={problem} />}
    </Dialog>
  );
}
