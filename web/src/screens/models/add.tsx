/** The dialog that registers a model by the name of its file. */
import { useState } from "preact/hooks";
import { Problem, api, data } from "~/api/http";
import { refresh } from "~/api/queries";
import { useMessages } from "~/app/i18n";
import { useDraft } from "~/app/state";
import { toast } from "~/app/toasts";
import { Button } from "~/parts/button";
import { CopyAs } from "~/parts/copy-as";
import { Dialog } from "~/parts/dialog";
import { Select, TextInput } from "~/parts/field";
import { ProblemNotice } from "~/parts/page";
import { messages } from "./messages";
import { split } from "./panel";

const TYPES = ["checkpoint", "lora", "vae", "controlnet", "upscaler", "embedding"];
const FAMILIES = ["sd1", "sdxl", "sd3", "flux1", "flux2", "qwen", "other"];
const FIRST = { file: "", type: "checkpoint", family: "sdxl", title: "", words: "" };

export function AddModel({ isOpen, onClose }: { isOpen: boolean; onClose: () => void }) {
  const t = useMessages(messages);
  const [draft, setDraft, clear] = useDraft("models.add", FIRST);
  const [error, setError] = useState<unknown>(null);
  const [isBusy, setBusy] = useState(false);
  const set = (changes: Partial<typeof FIRST>) => setDraft({ ...draft, ...changes });
  const stem = draft.file.split("/").pop() ?? "";
  const body = {
    air: `urn:air:${draft.family}:${draft.type}:file:${draft.file}`,
    fileName: draft.file,
    modelName: draft.title || stem.replace(/\.[a-z0-9]+$/i, ""),
    ...(draft.words ? { trainedWords: split(draft.words) } : {}),
  };
  const add = async () => {
    setBusy(true);
    setError(null);
    try {
      await data(api.POST("/v2/resources", { body }));
      toast({ text: t("added", { name: body.modelName }), tone: "good" });
      refresh("models");
      clear();
      onClose();
    } catch (failure) {
      setError(failure);
    } finally {
      setBusy(false);
    }
  };
  const fieldError = (field: string) => (error instanceof Problem ? error.errors[field]?.join("; ") : undefined);
  return (
    <Dialog title={t("addTitle")} isOpen={isOpen} onClose={onClose} isSide
      actions={<>
        <CopyAs call={{ method: "POST", path: "/v2/resources", body, cli: `imagemill resources add ${body.air} --file '${draft.file}'` }} />
        <Button kind="primary" isBusy={isBusy} disabled={!draft.file} onClick={() => void add()}>{t("register")}</Button>
      </>}>
      {error !== null && <ProblemNotice error={error} />}
      <TextInput label={t("file")} hint={t("fileHint")} placeholder="sdxl/base.safetensors" value={draft.file} error={fieldError("fileName") ?? fieldError("air")} onInput={(file) => set({ file })} />
      <Select label={t("type")} value={draft.type} onChange={(type) => set({ type })} options={TYPES.map((value) => ({ value, label: value }))} />
      <Select label={t("family")} value={draft.family} onChange={(family) => set({ family })} options={FAMILIES.map((value) => ({ value, label: value }))} />
      <TextInput label={t("title")} value={draft.title} error={fieldError("modelName")} onInput={(title) => set({ title })} />
      <TextInput label={t("words")} hint={t("wordsHint")} value={draft.words} error={fieldError("trainedWords")} onInput={(words) => set({ words })} />
    </Dialog>
  );
}
