/** The form of pictures from a prompt. */
import { useQuery } from "@tanstack/react-query";
import { api, data } from "~/api/http";
import { useMessages } from "~/app/i18n";
import { IconButton } from "~/parts/button";
import { NumberInput, Select, Slider, TextArea } from "~/parts/field";
import { PictureField } from "~/parts/picture-field";
import { type FormValues, SchemaForm } from "~/parts/schema-form";
import type { JsonSchema } from "~/parts/schema-form/schema";
import { TEXT_TO_IMAGE, randomSeed } from "./draft";
import { messages } from "./messages";
import { type Lora, Loras, ModelPicker } from "./models";

const SIZES: Record<string, [number, number]> = { square: [1024, 1024], portrait: [832, 1216], landscape: [1216, 832] };
/** Fields that have a control of their own, or none here. */
const SHOWN = ["model", "prompt", "negative_prompt", "width", "height", "steps", "cfg_scale", "seed", "count", "networks", "image", "mask", "denoise", "model_path", "family", "variant", "upscaler_path"];

interface PictureFormProps {
  values: FormValues;
  onChange: (values: FormValues) => void;
  onSubmit: () => void;
  errors: Record<string, string>;
  changed: ReadonlySet<string>;
}

export function PictureForm({ values, onChange, onSubmit, errors, changed }: PictureFormProps) {
  const t = useMessages(messages);
  const set = (...pairs: [string, unknown][]) => {
    const next = { ...values };
    for (const [name, value] of pairs) {
      if (value === undefined || value === null || value === "") delete next[name];
      else next[name] = value;
    }
    onChange(next);
  };
  const text = (name: string) => (typeof values[name] === "string" ? values[name] : "");
  const amount = (name: string) => (typeof values[name] === "number" ? values[name] : null);
  const mark = (...names: string[]) => `make-field${names.some((name) => changed.has(name)) ? " is-changed" : ""}`;
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    onSubmit();
  };
  return (
    <>
      <div class={mark("prompt")} onKeyDown={onKeyDown}>
        <TextArea label={t("prompt")} hint={t("promptHint")} rows={4} value={text("prompt")} onInput={(value) => set(["prompt", value])} error={errors.prompt} enterkeyhint="go" />
      </div>
      <div class={mark("model")}>
        <ModelPicker value={text("model")} onChange={(air) => set(["model", air])} error={errors.model} />
      </div>
      <div class={mark("width", "height")}>
        <SizePicker width={amount("width")} height={amount("height")} onChange={(width, height) => set(["width", width], ["height", height])} error={errors.width ?? errors.height} />
      </div>
      <div class="make-row">
        <div class={mark("steps")}>
          <NumberInput label={t("steps")} value={amount("steps")} onInput={(value) => set(["steps", value])} min={1} max={150} step={1} placeholder={t("auto")} error={errors.steps} />
        </div>
        <div class={mark("count")}>
          <NumberInput label={t("count")} value={amount("count")} onInput={(value) => set(["count", value])} min={1} max={16} step={1} placeholder="1" error={errors.count} />
        </div>
      </div>
      <div class={`${mark("seed")} make-seed`}>
        <NumberInput label={t("seed")} value={amount("seed")} onInput={(value) => set(["seed", value])} min={-1} step={1} placeholder={t("random")} error={errors.seed} />
        <IconButton icon="dice" label={t("dice")} onClick={() => set(["seed", randomSeed()])} />
      </div>
      <div class={mark("networks")}>
        <Loras value={(values.networks as Lora[] | undefined) ?? []} onChange={(networks) => set(["networks", networks.length ? networks : undefined])} />
      </div>
      <div class={mark("image")}>
        <PictureField label={t("picture")} value={text("image")} onChange={(value) => set(["image", value], ...(value ? [] : ([["mask", ""], ["denoise", null]] as [string, unknown][])))} error={errors.image} />
      </div>
      {text("image") !== "" && (
        <>
          <div class={mark("mask")}><PictureField label={t("mask")} value={text("mask")} onChange={(value) => set(["mask", value])} error={errors.mask} /></div>
          <div class={mark("denoise")}><Slider label={t("denoise")} min={0} max={1} step={0.05} value={amount("denoise") ?? 0.75} onInput={(value) => set(["denoise", value])} /></div>
        </>
      )}
      <details class="make-more">
        <summary>{t("more")}</summary>
        <div class={mark("negative_prompt")}>
          <TextArea label={t("negative")} rows={2} value={text("negative_prompt")} onInput={(value) => set(["negative_prompt", value])} error={errors.negative_prompt} />
        </div>
        <div class={mark("cfg_scale")}>
          <NumberInput label={t("cfg")} value={amount("cfg_scale")} onInput={(value) => set(["cfg_scale", value])} min={0} max={30} step={0.1} placeholder={t("auto")} error={errors.cfg_scale} />
        </div>
        <Further values={values} onChange={onChange} errors={errors} changed={changed} />
      </details>
    </>
  );
}

/** The fields that are rarely needed, from the recipe's own schema. */
function Further({ values, onChange, errors, changed }: Omit<PictureFormProps, "onSubmit">) {
  const t = useMessages(messages);
  const recipe = useQuery({
    queryKey: ["recipe", TEXT_TO_IMAGE],
    queryFn: ({ signal }) => data(api.GET("/api/v1/recipes/{name}", { params: { path: { name: TEXT_TO_IMAGE } }, signal })),
    staleTime: Infinity,
  });
  if (!recipe.data) return recipe.isPending ? <p class="waiting">{t("more")}</p> : null;
  return <SchemaForm schema={recipe.data.input as JsonSchema} values={values} onChange={onChange} errors={errors} hidden={SHOWN} changed={changed} />;
}

function SizePicker({ width, height, onChange, error }: { width: number | null; height: number | null; onChange: (width: number | null, height: number | null) => void; error?: string }) {
  const t = useMessages(messages);
  const known = Object.entries(SIZES).find(([, [w, h]]) => w === width && h === height)?.[0];
  const chosen = known ?? (width === null && height === null ? "" : "own");
  const names = { square: t("square"), portrait: t("portrait"), landscape: t("landscape") };
  const choose = (name: string) => {
    const size = SIZES[name];
    if (name === "own") onChange(width ?? 768, height ?? 768);
    else onChange(size?.[0] ?? null, size?.[1] ?? null);
  };
  return (
    <div class="make-size">
      <Select label={t("size")} value={chosen} onChange={choose} error={chosen === "own" ? undefined : error}
        options={[{ value: "", label: t("auto") }, ...Object.entries(SIZES).map(([name, [w, h]]) => ({ value: name, label: `${names[name as keyof typeof names]} ${w} × ${h}` })), { value: "own", label: t("own") }]} />
      {chosen === "own" && (
        <div class="make-row">
          <NumberInput label={t("width")} value={width} onInput={(value) => onChange(value, height)} min={64} max={4096} step={8} error={error} />
          <NumberInput label={t("height")} value={height} onInput={(value) => onChange(width, value)} min={64} max={4096} step={8} />
        </div>
      )}
    </div>
  );
}
