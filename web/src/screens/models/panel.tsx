/** One model beside the list: where it is, how it is used, and its fields in the registry. */
import { useQuery } from "@tanstack/react-query";
import { useState } from "preact/hooks";
import { Problem, type Schema, api, data } from "~/api/http";
import { refresh } from "~/api/queries";
import { bytes, useMessages } from "~/app/i18n";
import { may } from "~/app/session";
import { toast, withUndo } from "~/app/toasts";
import { Button, ButtonLink } from "~/parts/button";
import { CopyAs, CopyText } from "~/parts/copy-as";
import { Dialog } from "~/parts/dialog";
import { TextInput } from "~/parts/field";
import { Notice, ProblemNotice, Waiting } from "~/parts/page";
import { type Model, NodeDots } from ".";
import { messages } from "./messages";

interface PanelProps {
  model: Model;
  nodes: string[];
  used: number;
  isDefault: boolean;
  onClose: () => void;
}

/** Return the words of a list that is written with commas. */
export function split(text: string): string[] {
  return text.split(",").map((each) => each.trim()).filter(Boolean);
}

export function ModelPanel({ model, nodes, used, isDefault, onClose }: PanelProps) {
  const t = useMessages(messages);
  const name = model.title ?? model.name;
  const isAllowed = may("models:write");
  const remove = () => {
    onClose();
    withUndo(t("removed", { name }), async () => {
      await data(api.DELETE("/v2/resources/{air}", { params: { path: { air: model.air } } }));
      refresh("models");
    });
  };
  const choose = async () => {
    try {
      const { family } = await data(api.PUT("/api/v1/models/default", { body: { air: model.air } }));
      toast({ text: t("defaultSet", { name, family }), tone: "good" });
      refresh("models");
    } catch (error) {
      toast({ text: error instanceof Error ? error.message : String(error), tone: "bad" });
    }
  };
  return (
    <Dialog title={name} isOpen onClose={onClose} isSide
      actions={<>
        {model.type === "checkpoint" && <ButtonLink kind="primary" icon="make" href={`/?model=${encodeURIComponent(model.air)}`}>{t("use")}</ButtonLink>}
        {isAllowed && model.registered && model.type === "checkpoint" && !isDefault && <Button icon="star" onClick={() => void choose()}>{t("makeDefault", { family: model.family })}</Button>}
        {isAllowed && model.registered && <Button kind="quiet" icon="delete" onClick={remove}>{t("remove")}</Button>}
      </>}>
      {model.missing.length > 0 && <Notice tone="warn">{t("missing", { what: model.missing.join(", ") })}</Notice>}
      <dl class="models-dl">
        <dt>{t("file")}</dt><dd><code>{model.name}</code></dd>
        <dt>{t("type")}</dt><dd>{model.type}</dd>
        <dt>{t("family")}</dt>
        <dd>{model.family || t("unknown")}{model.variant && ` ${model.variant}`}{model.familySource === "size" && ` (${t("guess")})`}{isDefault && ` · ${t("default", { family: model.family })}`}</dd>
        {model.size !== null && <><dt>{t("size")}</dt><dd>{bytes(model.size)}</dd></>}
        <dt>{t("nodes")}</dt><dd><NodeDots model={model} nodes={nodes} /></dd>
        <dt>{t("usage")}</dt><dd>{used ? t("used", { count: used }) : t("usedNever")}</dd>
        {model.trainedWords.length > 0 && <><dt>{t("words")}</dt><dd>{model.trainedWords.map((word) => <code key={word} class="models-word">{word}</code>)}</dd></>}
      </dl>
      <CopyText label={t("air")} text={model.air} />
      {isAllowed && (model.registered ? <Edit air={model.air} name={name} /> : <Register model={model} />)}
    </Dialog>
  );
}

function Register({ model }: { model: Model }) {
  const t = useMessages(messages);
  const [error, setError] = useState<unknown>(null);
  const body = { air: model.air, fileName: model.name, ...(model.title ? { modelName: model.title } : {}), ...(model.trainedWords.length ? { trainedWords: model.trainedWords } : {}) };
  const run = async () => {
    try {
      await data(api.POST("/v2/resources", { body }));
      toast({ text: t("added", { name: model.name }), tone: "good" });
      refresh("models");
    } catch (failure) {
      setError(failure);
    }
  };
  return (
    <section class="models-form">
      <p class="soft">{t("registerText")}</p>
      {error !== null && <ProblemNotice error={error} />}
      <div class="models-buttons">
        <Button kind="primary" onClick={() => void run()}>{t("register")}</Button>
        <CopyAs call={{ method: "POST", path: "/v2/resources", body, cli: `imagemill resources add ${model.air} --file '${model.name}'` }} />
      </div>
    </section>
  );
}

function Edit({ air, name }: { air: string; name: string }) {
  const found = useQuery({ queryKey: ["models", air], queryFn: ({ signal }) => data(api.GET("/v2/resources/{air}", { params: { path: { air } }, signal })) });
  if (found.error) return <ProblemNotice error={found.error} onRetry={() => void found.refetch()} />;
  return found.data ? <EditForm resource={found.data} air={air} name={name} /> : <Waiting what={name} />;
}

function EditForm({ resource, air, name }: { resource: Schema<"ResourceInfo">; air: string; name: string }) {
  const t = useMessages(messages);
  const [title, setTitle] = useState(resource.modelName ?? "");
  const [tags, setTags] = useState((resource.tags ?? []).join(", "));
  const [words, setWords] = useState((resource.trainedWords ?? []).join(", "));
  const [base, setBase] = useState(resource.baseModel ?? "");
  const [error, setError] = useState<unknown>(null);
  const [isBusy, setBusy] = useState(false);
  const body = { modelName: title || null, tags: split(tags), trainedWords: split(words), baseModel: base || null };
  const save = async () => {
    setBusy(true);
    setError(null);
    try {
      await data(api.PATCH("/v2/resources/{air}", { params: { path: { air } }, body }));
      toast({ text: t("saved", { name }), tone: "good" });
      refresh("models");
    } catch (failure) {
      setError(failure);
    } finally {
      setBusy(false);
    }
  };
  const fieldError = (field: string) => (error instanceof Problem ? error.errors[field]?.join("; ") : undefined);
  return (
    <section class="models-form">
      {error !== null && <ProblemNotice error={error} />}
      <TextInput label={t("title")} value={title} error={fieldError("modelName")} onInput={setTitle} />
      <TextInput label={t("words")} hint={t("wordsHint")} value={words} error={fieldError("trainedWords")} onInput={setWords} />
      <TextInput label={t("tags")} hint={t("tagsHint")} value={tags} error={fieldError("tags")} onInput={setTags} />
      <TextInput label={t("baseModel")} placeholder="SDXL 1.0" value={base} error={fieldError("baseModel")} onInput={setBase} />
      <div class="models-buttons">
        <Button kind="primary" isBusy={isBusy} onClick={() => void save()}>{t("save")}</Button>
        <CopyAs call={{ method: "PATCH", path: `/v2/resources/${air}`, body, cli: `imagemill resources update ${air} --name '${title}'` }} />
      </div>
    </section>
  );
}
