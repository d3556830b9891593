/** Choosing a checkpoint by where it is, and LoRAs with their strength. */
import { useQuery } from "@tanstack/react-query";
import { type Schema, api, data } from "~/api/http";
import { useMessages } from "~/app/i18n";
import { may } from "~/app/session";
import { IconButton } from "~/parts/button";
import { Select, Slider } from "~/parts/field";
import { messages } from "./messages";

type Model = Schema<"InstalledModelBody">;

/** Return the models of a type that jobs can name. */
function useModels(type: string) {
  return useQuery({
    queryKey: ["models", "installed", type],
    queryFn: ({ signal }) => data(api.GET("/api/v1/models", { params: { query: { type } }, signal })),
    staleTime: 60_000,
  });
}

/** Return the nodes that have each model in memory now, by its AIR. */
function useLoaded(): Map<string, string[]> {
  const found = useQuery({
    queryKey: ["nodes", "residency", "make"],
    queryFn: ({ signal }) => data(api.GET("/api/v1/residency", { params: { query: {} }, signal })),
    enabled: may("nodes:read"),
  });
  return new Map(found.data?.models.map((model) => [model.air.toLowerCase(), Object.keys(model.nodes).filter((node) => model.nodes[node] === "loaded")]));
}

const shortName = (node: string) => node.split(".")[0] ?? node;

export function ModelPicker({ value, onChange, error }: { value: string; onChange: (air: string) => void; error?: string }) {
  const t = useMessages(messages);
  const found = useModels("checkpoint");
  const loaded = useLoaded();
  const label = (model: Model) => {
    const name = model.title ?? model.name;
    const nodes = loaded.get(model.air.toLowerCase()) ?? [];
    if (nodes.length) return t("loadedOn", { name, nodes: nodes.map(shortName).join(", ") });
    return model.nodes.length ? t("onNodes", { name, nodes: model.nodes.map(shortName).join(", ") }) : t("nowhere", { name });
  };
  const models = found.data?.items ?? [];
  const ordered = [...models].sort((one, other) => rank(other, loaded) - rank(one, loaded));
  const options = ordered.map((model) => ({ value: model.air, label: label(model), group: model.family || undefined }));
  if (value && !models.some((model) => model.air === value)) options.unshift({ value, label: value, group: undefined });
  return <Select label={t("model")} error={error} value={value} onChange={onChange} options={[{ value: "", label: t("standardModel") }, ...options]} />;
}

function rank(model: Model, loaded: Map<string, string[]>): number {
  return loaded.get(model.air.toLowerCase())?.length ? 2 : model.nodes.length ? 1 : 0;
}

export interface Lora {
  air: string;
  strength: number;
}

export function Loras({ value, onChange }: { value: Lora[]; onChange: (value: Lora[]) => void }) {
  const t = useMessages(messages);
  const found = useModels("lora");
  const models = found.data?.items ?? [];
  const free = models.filter((model) => !value.some((lora) => lora.air === model.air));
  const nameOf = (air: string) => {
    const model = models.find((each) => each.air === air);
    return model?.title ?? model?.name ?? air;
  };
  if (!models.length && !value.length) return null;
  return (
    <fieldset class="make-loras">
      <legend>{t("loras")}</legend>
      {value.map((lora) => (
        <div key={lora.air} class="make-lora">
          <Slider label={t("strength", { name: nameOf(lora.air) })} min={-2} max={2} step={0.05} value={lora.strength}
            onInput={(strength) => onChange(value.map((each) => (each.air === lora.air ? { ...each, strength } : each)))} />
          <IconButton icon="close" label={t("removeLora", { name: nameOf(lora.air) })} onClick={() => onChange(value.filter((each) => each.air !== lora.air))} />
        </div>
      ))}
      {free.length > 0 && (
        <Select label={t("addLora")} isLabelHidden value="" onChange={(air) => air && onChange([...value, { air, strength: 1 }])}
          options={[{ value: "", label: t("addLora") }, ...free.map((model) => ({ value: model.air, label: model.title ?? model.name, group: model.family || undefined }))]} />
      )}
    </fieldset>
  );
}
