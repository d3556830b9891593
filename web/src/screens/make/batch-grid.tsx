/** Several values of some fields: a job for each combination. */
import { useMessages } from "~/app/i18n";
import { Button, IconButton } from "~/parts/button";
import { Select, TextArea } from "~/parts/field";
import type { Axis } from "./draft";
import { messages } from "./messages";

const MOST_AXES = 3;

interface BatchGridProps {
  axes: Axis[];
  onChange: (axes: Axis[]) => void;
  /** The fields that can be varied, with their labels. */
  fields: { value: string; label: string }[];
}

export function BatchGrid({ axes, onChange, fields }: BatchGridProps) {
  const t = useMessages(messages);
  const free = fields.filter((field) => !axes.some((axis) => axis.field === field.value));
  const change = (index: number, axis: Axis) => onChange(axes.map((each, at) => (at === index ? axis : each)));
  const labelOf = (field: string) => fields.find((each) => each.value === field)?.label ?? field;
  return (
    <details class="make-more" open={axes.length > 0}>
      <summary>{t("grid")}</summary>
      <p class="field-hint">{t("gridHint")}</p>
      {axes.map((axis, index) => (
        <div key={axis.field} class="make-axis">
          <Select label={t("axis")} value={axis.field} onChange={(field) => change(index, { ...axis, field })} options={fields.filter((field) => field.value === axis.field || free.includes(field))} />
          <IconButton icon="close" label={t("removeAxis", { field: labelOf(axis.field) })} onClick={() => onChange(axes.filter((each) => each !== axis))} />
          <TextArea label={t("values")} rows={3} value={axis.lines} onInput={(lines) => change(index, { ...axis, lines })} placeholder={axis.field === "size" ? "1024 x 1024" : undefined} />
        </div>
      ))}
      {axes.length < MOST_AXES && free[0] && <Button icon="add" onClick={() => free[0] && onChange([...axes, { field: free[0].value, lines: "" }])}>{t("addAxis")}</Button>}
    </details>
  );
}
