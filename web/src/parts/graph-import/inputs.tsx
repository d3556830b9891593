/** The inputs of a graph: which are offered, their names, defaults and limits. */
import { useState } from "preact/hooks";
import { useMessages } from "~/app/i18n";
import { Checkbox, Field, NumberInput, Select, TextArea, TextInput } from "~/parts/field";
import { messages } from "./messages";
import { type FoundInput, base64 } from "./source";

export interface Row {
  isOffered: boolean;
  /** The name under which it was found; it does not change. */
  found: string;
  input: FoundInput;
}

interface InputsProps {
  rows: Row[];
  onChange: (rows: Row[]) => void;
  errorOf: (input: string, field: string) => string | undefined;
}

const NUMBERS = ["integer", "number", "seed"];
/** A longer text gets several lines. */
const SHORT = 40;
const MOST_BYTES = 3_000_000;

export function Inputs({ rows, onChange, errorOf }: InputsProps) {
  const t = useMessages(messages);
  const set = (found: string, changes: Partial<Row>) => onChange(rows.map((row) => (row.found === found ? { ...row, ...changes } : row)));
  return (
    <section class="card graph-import-part" aria-label={t("inputs")}>
      <h2>{t("inputs")}</h2>
      <p class="soft small">{rows.length ? t("inputsHint") : t("noInputs")}</p>
      <ul class="graph-import-inputs">
        {rows.map((row) => <InputRow key={row.found} row={row} onChange={(changes) => set(row.found, changes)} errorOf={errorOf} />)}
      </ul>
    </section>
  );
}

function InputRow({ row, onChange, errorOf }: { row: Row; onChange: (changes: Partial<Row>) => void; errorOf: InputsProps["errorOf"] }) {
  const t = useMessages(messages);
  const { input, isOffered } = row;
  const change = (changes: Partial<FoundInput>) => onChange({ input: { ...input, ...changes } });
  return (
    <li class={`graph-import-input${isOffered ? "" : " graph-import-hidden"}`}>
      <Checkbox label={<><span class="visually-hidden">{t("use", { name: row.found })}</span><span aria-hidden="true" class="graph-import-type">{t(`type_${input.type}`)}</span></>} isChecked={isOffered} onChange={(value) => onChange({ isOffered: value })} />
      <TextInput label={t("inputName")} value={input.name} disabled={!isOffered} error={errorOf(input.name, "name")} onInput={(name) => change({ name })} />
      <Value input={input} onChange={(value) => change({ default: value })} error={errorOf(input.name, "default")} />
      {NUMBERS.includes(input.type) && isOffered && (
        <div class="graph-import-limits">
          <NumberInput label={t("min")} value={input.minimum ?? null} error={errorOf(input.name, "minimum")} onInput={(minimum) => change({ minimum })} />
          <NumberInput label={t("max")} value={input.maximum ?? null} error={errorOf(input.name, "maximum")} onInput={(maximum) => change({ maximum })} />
        </div>
      )}
      {isOffered && <Checkbox label={t("required")} isChecked={input.required} onChange={(required) => change({ required })} />}
    </li>
  );
}

function Value({ input, onChange, error }: { input: FoundInput; onChange: (value: unknown) => void; error?: string }) {
  const t = useMessages(messages);
  const { type, default: value } = input;
  const label = t("value");
  const text = value === undefined || value === null ? "" : String(value);
  if (type === "text" && (text.length > SHORT || input.name.includes("prompt"))) return <TextArea label={label} rows={2} value={text} error={error} onInput={onChange} />;
  if (NUMBERS.includes(type)) return <NumberInput label={label} value={typeof value === "number" ? value : null} step="any" error={error} onInput={onChange} />;
  if (type === "boolean") return <Checkbox label={label} isChecked={value === true} onChange={onChange} />;
  if (type === "choice") return <Select label={label} value={text} error={error} onChange={onChange} options={(input.choices ?? []).map((choice) => ({ value: choice, label: choice }))} />;
  if (type === "loras") return <p class="soft small">{t("type_loras")}</p>;
  if (type === "image" || type === "mask") return <PictureValue input={input} onChange={onChange} />;
  return <TextInput label={label} value={text} error={error} onInput={onChange} />;
}

function PictureValue({ input, onChange }: { input: FoundInput; onChange: (value: unknown) => void }) {
  const t = useMessages(messages);
  const [error, setError] = useState("");
  const take = async (file: File | undefined) => {
    if (!file) return;
    setError(file.size > MOST_BYTES ? t("tooLarge", { name: file.name }) : "");
    if (file.size <= MOST_BYTES) onChange(`data:${file.type};base64,${await base64(file)}`);
  };
  return (
    <Field label={t(`type_${input.type}`)} error={error}>
      {(given) => <input type="file" {...given} accept="image/png,image/jpeg,image/webp" onChange={(event) => void take(event.currentTarget.files?.[0])} />}
    </Field>
  );
}
