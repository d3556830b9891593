/** Change a model: its prompt, its parameters or its seed make the next version. */
import { useQuery } from "@tanstack/react-query";
import { useState } from "preact/hooks";
import { Problem, type Schema, api, data } from "~/api/http";
import { refresh } from "~/api/queries";
import { number, useMessages } from "~/app/i18n";
import { useDraft } from "~/app/state";
import { toast } from "~/app/toasts";
import { Button } from "~/parts/button";
import { CopyAs } from "~/parts/copy-as";
import { NumberInput, Select, Slider, TextArea } from "~/parts/field";
import { ProblemNotice } from "~/parts/page";
import { Price } from "~/parts/price";
import { nameOf } from ".";
import type { Model } from "./cell-panel";
import { PARAMETERS, type Parameter, VALUES } from "./cells";
import { messages } from "./messages";

type Draft = Record<Parameter, string> & { prompt: string; denoise: number; seed: number | null };

export function EditForm({ model }: { model: Model }) {
  const t = useMessages(messages);
  const { gender, ageRange, bodyType, pose, style, prompt } = model;
  const initial: Draft = { gender, ageRange, bodyType, pose, style, prompt, denoise: 0.6, seed: null };
  const [draft, setDraft, clear] = useDraft<Draft>(`library.${model.id}`, initial);
  const [problem, setProblem] = useState<unknown>(null);
  const [isBusy, setBusy] = useState(false);
  const set = (change: Partial<Draft>) => setDraft({ ...draft, ...change });
  const body = changes(model, draft);
  const isChanged = body.prompt !== undefined || body.seed !== undefined || PARAMETERS.some((name) => body[name] !== undefined);
  const path = { path: { model_id: model.id } };
  const price = useQuery({
    queryKey: ["price", "library", model.id, isChanged],
    queryFn: async ({ signal }) => {
      const answer = await data(api.POST("/api/v1/library/{model_id}/edit", { params: { ...path, query: { whatif: true } }, body, signal }));
      return "cost" in answer ? answer : undefined;
    },
    enabled: isChanged,
  });
  const order = async () => {
    setBusy(true);
    setProblem(null);
    try {
      const done = await data(api.POST("/api/v1/library/{model_id}/edit", { params: path, body }));
      if ("jobId" in done) toast({ text: t("orderedOne", { name: done.templateId, job: done.jobId }), tone: "good" });
      clear();
      refresh("library", "jobs", "counts");
    } catch (error) {
      setProblem(error);
    }
    setBusy(false);
  };
  const wrong = (field: string) => (problem instanceof Problem ? problem.errors[field]?.join("; ") : undefined);
  const cli = [body.prompt ? ` --prompt '${body.prompt}'` : "", ...PARAMETERS.filter((name) => body[name]).map((name) => ` --set '${name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}=${body[name]}'`), body.seed === undefined ? "" : ` --seed ${body.seed}`].join("");
  return (
    <details class="library-edit" open={isChanged}>
      <summary>{t("edit")}</summary>
      <p class="soft small">{t("editText")}</p>
      {problem !== null && <ProblemNotice error={problem} />}
      <TextArea label={t("prompt")} value={draft.prompt} error={wrong("prompt")} onInput={(value) => set({ prompt: value })} />
      <Slider label={t("strength")} min={0} max={1} step={0.05} value={draft.denoise} shown={number(draft.denoise, { style: "percent" })} onInput={(denoise) => set({ denoise })} />
      <div class="library-edit-fields">
        {PARAMETERS.map((name) => <Select key={name} label={t(name)} value={draft[name]} onChange={(value) => set({ [name]: value })} options={VALUES[name].map((value) => ({ value, label: nameOf(t, value) }))} />)}
        <NumberInput label={t("seed")} hint={t("seedHint")} min={0} step={1} value={draft.seed} error={wrong("seed")} onInput={(seed) => set({ seed })} />
      </div>
      <div class="library-edit-actions">
        <Button icon="edit" isBusy={isBusy} blocked={isChanged ? undefined : t("unchanged")} onClick={() => void order()}>{t("nextVersion")}</Button>
        <CopyAs call={{ method: "POST", path: `/api/v1/library/${model.id}/edit`, body, cli: `imagemill library edit ${model.id}${cli}` }} />
        <Price price={isChanged ? price.data : undefined} />
      </div>
    </details>
  );
}

/** Return what a draft changes of a model. */
function changes(model: Model, draft: Draft): Schema<"EditRequest"> {
  const values = Object.fromEntries(PARAMETERS.filter((name) => draft[name] !== model[name]).map((name) => [name, draft[name]]));
  const hasPrompt = draft.prompt.trim() !== "" && draft.prompt !== model.prompt;
  return { ...values, ...(hasPrompt ? { prompt: draft.prompt, denoise: draft.denoise } : {}), ...(draft.seed === null ? {} : { seed: draft.seed }) };
}
