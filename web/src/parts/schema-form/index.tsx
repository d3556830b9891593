/** A form made from a JSON schema: the inputs of any recipe or workflow. */
import { useState } from "preact/hooks";
import { useMessages } from "~/app/i18n";
import { Checkbox, NumberInput, Select, TextArea, TextInput } from "~/parts/field";
import { PictureField } from "~/parts/picture-field";
import { messages } from "./messages";
import { type FormField, type JsonSchema, fieldsOf } from "./schema";
import "./style.css";

export type FormValues = Record<string, unknown>;

interface SchemaFormProps {
  schema: JsonSchema;
  values: FormValues;
  onChange: (values: FormValues) => void;
  /** Problems by the name of the field. */
  errors?: Record<string, string>;
  /** Fields that are not shown. */
  hidden?: readonly string[];
  /** Fields that differ from those of the job that the form was filled from. */
  changed?: ReadonlySet<string>;
}

export function SchemaForm({ schema, values, onChange, errors = {}, hidden, changed }: SchemaFormProps) {
  const t = useMessages(messages);
  const fields = fieldsOf(schema, hidden);
  const set = (name: string, value: unknown) => {
    const next = { ...values };
    if (value === undefined || value === null || value === "") delete next[name];
    else next[name] = value;
    onChange(next);
  };
  if (!fields.length) return <p class="soft">{t("none")}</p>;
  return (
    <div class="schema-form">
      {fields.map((field) => (
        <div key={field.name} class={`schema-form-field${changed?.has(field.name) ? " is-changed" : ""}`}>
          <SchemaField field={field} value={values[field.name]} error={errors[field.name]} onChange={(value) => set(field.name, value)} />
        </div>
      ))}
    </div>
  );
}

interface SchemaFieldProps {
  field: FormField;
  value: unknown;
  error?: string;
  onChange: (value: unknown) => void;
}

function SchemaField({ field, value, error, onChange }: SchemaFieldProps) {
  const t = useMessages(messages);
  const { schema, kind } = field;
  const label = field.isRequired ? t("required", { label: field.label }) : field.label;
  const given = { label, error, hint: field.description || undefined };
  const standard = schema.default === undefined || schema.default === null ? "" : String(schema.default);
  switch (kind) {
    case "choice":
      return (
        <Select {...given} value={value === undefined ? "" : String(value)} onChange={(text) => onChange(field.choices.find((each) => String(each) === text))}
          options={[{ value: "", label: standard ? t("standard", { value: standard }) : t("choose") }, ...field.choices.filter((each) => each !== "").map((each) => ({ value: String(each), label: String(each) }))]} />
      );
    case "switch":
      return <Checkbox label={field.label} isChecked={Boolean(value ?? schema.default)} onChange={onChange} />;
    case "integer":
    case "number":
      return (
        <NumberInput {...given} value={typeof value === "number" ? value : null} onInput={onChange} placeholder={standard}
          min={schema.minimum} max={schema.maximum} step={kind === "integer" ? 1 : "any"} />
      );
    case "picture":
      return <PictureField label={label} error={error} value={typeof value === "string" ? value : ""} onChange={onChange} />;
    case "long-text":
      return <TextArea {...given} value={typeof value === "string" ? value : ""} onInput={onChange} placeholder={standard} />;
    case "text":
      return <TextInput {...given} value={typeof value === "string" ? value : ""} onInput={onChange} placeholder={standard} />;
    case "json":
      return <JsonField {...given} value={value} onChange={onChange} />;
  }
}

/** A list or an object as JSON; while it is not valid, the last valid value stays. */
function JsonField({ label, hint, error, value, onChange }: { label: string; hint?: string; error?: string; value: unknown; onChange: (value: unknown) => void }) {
  const t = useMessages(messages);
  const [text, setText] = useState(value === undefined ? "" : JSON.stringify(value));
  const [isWrong, setWrong] = useState(false);
  const take = (next: string) => {
    setText(next);
    try {
      onChange(next.trim() ? JSON.parse(next) : undefined);
      setWrong(false);
    } catch {
      setWrong(true);
    }
  };
  return <TextArea label={label} hint={hint} rows={2} value={text} onInput={take} error={isWrong ? t("notJson") : error} spellcheck={false} placeholder="[]" />;
}
