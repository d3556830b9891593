/** Submit failed jobs again with another model, node or size. */
import { useQuery } from "@tanstack/react-query";
import { useState } from "preact/hooks";
import { api, data } from "~/api/http";
import { useMessages } from "~/app/i18n";
import { BulkDialog, type Override } from "~/parts/bulk-dialog";
import { NumberInput, Field, TextInput } from "~/parts/field";
import type { JobFilter } from "~/parts/job-filter";
import { messages } from "./messages";

interface FixDialogProps {
  title: string;
  filter: JobFilter;
  owner: { owner?: string };
  onClose: () => void;
}

export function FixDialog({ title, filter, owner, onClose }: FixDialogProps) {
  const t = useMessages(messages);
  const [model, setModel] = useState("");
  const [label, setLabel] = useState("");
  const [width, setWidth] = useState<number | null>(null);
  const [height, setHeight] = useState<number | null>(null);
  const models = useQuery({ queryKey: ["models", "names"], queryFn: ({ signal }) => data(api.GET("/api/v1/models", { signal })) });
  const input = { ...(width ? { width } : {}), ...(height ? { height } : {}) };
  const override: Override = { input, ...(model.trim() ? { model: model.trim() } : {}), ...(label.trim() ? { labels: [label.trim()] } : {}) };
  const isChanged = Boolean(override.model ?? override.labels) || Object.keys(input).length > 0;
  return (
    <BulkDialog action="replay" title={title} filter={filter} owner={owner} override={isChanged ? override : undefined} onClose={onClose}>
      <Field label={t("otherModel")} hint={t("otherModelHint")}>
        {(given) => (
          <>
            <input type="text" {...given} list={`${given.id}-models`} value={model} onInput={(event) => setModel(event.currentTarget.value)} />
            <datalist id={`${given.id}-models`}>{models.data?.items.map((each) => <option key={each.air} value={each.air} />)}</datalist>
          </>
        )}
      </Field>
      <TextInput label={t("label")} hint={t("labelHint")} value={label} onInput={setLabel} maxLength={64} />
      <div class="failures-size">
        <NumberInput label={t("width")} value={width} onInput={setWidth} min={64} max={4096} step={8} />
        <NumberInput label={t("height")} value={height} onInput={setHeight} min={64} max={4096} step={8} />
      </div>
      <p class="field-hint">{t("sizeHint")}</p>
    </BulkDialog>
  );
}
