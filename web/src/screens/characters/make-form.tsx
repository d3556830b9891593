/** The form of one more picture: its wishes, its seed and its price. */
import { useQuery } from "@tanstack/react-query";
import { useState } from "preact/hooks";
import { Problem, type Schema, api, data } from "~/api/http";
import { refresh } from "~/api/queries";
import { useMessages } from "~/app/i18n";
import { useDraft } from "~/app/state";
import { toast } from "~/app/toasts";
import { Button } from "~/parts/button";
import { CopyAs } from "~/parts/copy-as";
import { DropZone } from "~/parts/drop-zone";
import { NumberInput, TextArea, TextInput } from "~/parts/field";
import { ProblemNotice } from "~/parts/page";
import { Price } from "~/parts/price";
import type { OrderProps } from "./board";
import { PLAIN } from "./fill-gaps";
import { messages } from "./messages";
import type { Kind } from "./pictures";

interface Draft {
  wish: string;
  emotion: string;
  action: string;
  title: string;
  synopsis: string;
  summary: string;
  place: string;
  mood: string;
  width: number | null;
  height: number | null;
  seed: number | null;
}
const INITIAL: Draft = { wish: "", emotion: "", action: "", title: "", synopsis: "", summary: "", place: "", mood: "", width: 768, height: 512, seed: null };

interface MakeFormProps {
  kind: Kind;
  /** The emotion of a sticker; null: one that is named here. */
  emotion: string | null;
  isAgain: boolean;
  order: OrderProps;
}

export function MakeForm({ kind, emotion, isAgain, order }: MakeFormProps) {
  const t = useMessages(messages);
  const [draft, setDraft] = useDraft<Draft>(`character.${order.id}.${kind}.${emotion ?? "new"}`, INITIAL);
  const [reference, setReference] = useState<{ name: string; url: string } | null>(null);
  const [isBusy, setBusy] = useState(false);
  const [problem, setProblem] = useState<unknown>(null);
  const set = (change: Partial<Draft>) => setDraft({ ...draft, ...change });
  const body = bodyOf(kind, order.id, draft, emotion ?? draft.emotion, reference?.url);
  const price = useQuery({
    queryKey: ["price", "character", order.id, kind],
    queryFn: ({ signal }) => priceOf(kind, order.id, signal),
    enabled: order.isDescribed,
  });
  const isComplete = kind !== "scene" || Boolean(draft.summary.trim());
  const blocked = !order.isDescribed && !reference ? t("describeFirst") : isComplete ? undefined : t("summary");
  const make = async () => {
    setBusy(true);
    setProblem(null);
    try {
      await order.save?.();
      await submit(body);
      toast({ text: t("ordered", { count: 1 }), tone: "good" });
      refresh("characters", "jobs", "counts");
    } catch (error) {
      setProblem(error);
    }
    setBusy(false);
  };
  const wrong = (field: string) => (problem instanceof Problem ? problem.errors[field]?.join("; ") : undefined);
  const text = (field: "title" | "place" | "mood", path: string) => <TextInput label={t(field)} value={draft[field]} error={wrong(path)} onInput={(value) => set({ [field]: value })} />;
  return (
    <section class="characters-make">
      {problem !== null && <ProblemNotice error={problem} />}
      {kind === "sticker" && emotion === null && <TextInput label={t("emotionName")} hint={t("emotionHint")} value={draft.emotion} error={wrong("emotion")} onInput={(value) => set({ emotion: value })} />}
      {kind === "sticker" && emotion === null && <TextInput label={t("action")} value={draft.action} error={wrong("actionTag")} onInput={(action) => set({ action })} />}
      {kind === "cover" && text("title", "title")}
      {kind === "cover" && <TextArea label={t("synopsis")} value={draft.synopsis} error={wrong("synopsis")} onInput={(synopsis) => set({ synopsis })} />}
      {kind === "scene" && <TextArea label={t("summary")} value={draft.summary} error={wrong("context.summary")} onInput={(summary) => set({ summary })} />}
      {kind === "scene" && <div class="characters-pair">{text("place", "context.place")}{text("mood", "context.mood")}</div>}
      {kind === "scene" && (
        <div class="characters-pair">
          <NumberInput label={t("width")} min={512} max={1536} step={8} value={draft.width} error={wrong("width")} onInput={(width) => set({ width })} />
          <NumberInput label={t("height")} min={512} max={1536} step={8} value={draft.height} error={wrong("height")} onInput={(height) => set({ height })} />
        </div>
      )}
      {(kind === "avatar" || kind === "sticker") && <TextArea label={t("wish")} hint={t("wishHint")} rows={2} value={draft.wish} error={wrong("prompt") ?? wrong("customInstructions")} onInput={(wish) => set({ wish })} />}
      {kind === "avatar" && <DropZone label={reference ? t("referenceSet", { file: reference.name }) : t("reference")} accept="image/*" onFiles={([file]) => file && void dataUrl(file).then((url) => setReference({ name: file.name, url }))} />}
      <NumberInput label={t("seed")} hint={t("seedHint")} min={0} step={1} value={draft.seed} error={wrong("seed")} onInput={(seed) => set({ seed })} />
      <div class="characters-buttons">
        <Button kind={isAgain ? "plain" : "primary"} icon={isAgain && kind !== "scene" ? "refresh" : "make"} isBusy={isBusy} blocked={blocked} onClick={() => void make()}>{t(isAgain && kind !== "scene" ? "redraw" : "make")}</Button>
        <CopyAs call={{ method: "POST", path: `/api/v1/image-generation/${kind}`, body: shortened(body.body), cli: cliOf(kind, order.id, draft, emotion ?? draft.emotion) }} />
        <Price price={price.data} />
      </div>
    </section>
  );
}

type Body =
  | { kind: "avatar"; body: Schema<"AvatarRequest"> }
  | { kind: "sticker"; body: Schema<"StickerRequest"> }
  | { kind: "cover"; body: Schema<"CoverRequest"> }
  | { kind: "scene"; body: Schema<"SceneRequest"> };

function bodyOf(kind: Kind, id: string, draft: Draft, emotion: string, reference: string | undefined): Body {
  const common = { reuse: false, ...(draft.seed === null ? {} : { seed: draft.seed }) };
  switch (kind) {
    case "avatar":
      return { kind, body: { ...common, characterId: id, prompt: draft.wish, ...(reference ? { referenceImageUrl: reference } : {}) } };
    case "sticker":
      return { kind, body: { ...common, characterId: id, emotion, customInstructions: draft.wish, ...(draft.action ? { actionTag: draft.action } : {}) } };
    case "cover":
      return { kind, body: { ...common, characterId: id, title: draft.title, synopsis: draft.synopsis, characters: [] } };
    case "scene": {
      const cast = [{ name: "", gender: "", species: "", physical: "", attire: "", style: "", description: "", characterId: id }];
      const context = { summary: draft.summary, messages: [], characters: cast, place: draft.place, mood: draft.mood };
      return { kind, body: { ...common, characterId: id, context, width: draft.width, height: draft.height } };
    }
  }
}

function submit(order: Body, query: { whatif?: boolean } = {}, signal?: AbortSignal) {
  const more = { params: { query }, signal };
  switch (order.kind) {
    case "avatar":
      return data(api.POST("/api/v1/image-generation/avatar", { body: order.body, ...more }));
    case "sticker":
      return data(api.POST("/api/v1/image-generation/sticker", { body: order.body, ...more }));
    case "cover":
      return data(api.POST("/api/v1/image-generation/cover", { body: order.body, ...more }));
    case "scene":
      return data(api.POST("/api/v1/image-generation/scene", { body: order.body, ...more }));
  }
}

/** Return the price of a picture of this kind, which does not depend on texts. */
async function priceOf(kind: Kind, id: string, signal: AbortSignal) {
  const order = bodyOf(kind, id, { ...INITIAL, summary: "a scene", place: "a garden", mood: "calm" }, "happy", undefined);
  if (order.kind === "avatar" || order.kind === "sticker") order.body.character = PLAIN;
  else if (order.kind === "cover") order.body.characters = [PLAIN];
  else order.body.context.characters = [PLAIN];
  const answer = await submit(order, { whatif: true }, signal);
  return "cost" in answer ? answer : undefined;
}

function dataUrl(file: File): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result));
    reader.onerror = () => reject(reader.error ?? new Error(file.name));
    reader.readAsDataURL(file);
  });
}

/** Return a body for reading: without its defaults and with a short reference picture. */
function shortened(body: Body["body"]): Record<string, unknown> {
  const entries = Object.entries(body).filter(([, value]) => value !== "" && value !== false && !(Array.isArray(value) && !value.length));
  return Object.fromEntries(entries.map(([name, value]) => [name, name === "referenceImageUrl" ? `${String(value).slice(0, 40)}...` : value]));
}

function cliOf(kind: Kind, id: string, draft: Draft, emotion: string): string {
  const option = (name: string, value: string | number | null) => (value === "" || value === null ? "" : ` --${name} ${typeof value === "number" ? value : `'${value}'`}`);
  const seed = option("seed", draft.seed);
  switch (kind) {
    case "avatar":
      return `imagemill characters avatar ${id}${option("prompt", draft.wish)}${seed}`;
    case "sticker":
      return `imagemill characters sticker ${id} ${emotion || "EMOTION"}${option("action", draft.action)}${option("instructions", draft.wish)}${seed}`;
    case "cover":
      return `imagemill characters cover --character ${id}${option("title", draft.title)}${option("synopsis", draft.synopsis)}${seed}`;
    case "scene":
      return `imagemill characters scene '${draft.summary}' --with ${id} --character ${id}${option("place", draft.place)}${option("mood", draft.mood)}${option("width", draft.width)}${option("height", draft.height)}${seed}`;
  }
}
