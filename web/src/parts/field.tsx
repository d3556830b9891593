/** Fields of forms: each has a label, a hint and its error. */
import type { ComponentChildren, JSX } from "preact";
import { useId } from "preact/hooks";

interface Described {
  label: string;
  hint?: ComponentChildren;
  /** What is wrong and what to do, as the API says it. */
  error?: string;
  isLabelHidden?: boolean;
}

interface FieldProps extends Described {
  children: (attributes: { id: string; "aria-describedby"?: string; "aria-invalid"?: boolean }) => ComponentChildren;
}

/** A labelled control: `<Field label="Seed">{(given) => <input {...given} />}</Field>`. */
export function Field({ label, hint, error, isLabelHidden, children }: FieldProps) {
  const id = useId();
  const described = [hint !== undefined ? `${id}-hint` : "", error ? `${id}-error` : ""].filter(Boolean).join(" ");
  return (
    <div class={`field${error ? " field-wrong" : ""}`}>
      <label for={id} class={isLabelHidden ? "visually-hidden" : undefined}>{label}</label>
      {children({ id, "aria-describedby": described || undefined, "aria-invalid": error ? true : undefined })}
      {hint !== undefined && <p class="field-hint" id={`${id}-hint`}>{hint}</p>}
      {error && <p class="field-error" id={`${id}-error`} role="alert">{error}</p>}
    </div>
  );
}

type Input = Omit<JSX.InputHTMLAttributes<HTMLInputElement>, "onInput" | "label" | "value" | "class">;

export function TextInput({ label, hint, error, isLabelHidden, value, onInput, ...rest }: Described & Input & { value: string; onInput: (value: string) => void }) {
  return (
    <Field {...{ label, hint, error, isLabelHidden }}>
      {(given) => <input type="text" {...rest} {...given} value={value} onInput={(event) => onInput(event.currentTarget.value)} />}
    </Field>
  );
}

/** A number, or null while the field is empty or no number. */
export function NumberInput({ label, hint, error, isLabelHidden, value, onInput, ...rest }: Described & Input & { value: number | null; onInput: (value: number | null) => void }) {
  return (
    <Field {...{ label, hint, error, isLabelHidden }}>
      {(given) => (
        <input type="number" inputMode="decimal" {...rest} {...given} value={value ?? ""}
          onInput={(event) => onInput(event.currentTarget.value === "" || Number.isNaN(event.currentTarget.valueAsNumber) ? null : event.currentTarget.valueAsNumber)} />
      )}
    </Field>
  );
}

type Area = Omit<JSX.TextareaHTMLAttributes<HTMLTextAreaElement>, "onInput" | "label" | "value" | "class">;

export function TextArea({ label, hint, error, isLabelHidden, value, onInput, ...rest }: Described & Area & { value: string; onInput: (value: string) => void }) {
  return (
    <Field {...{ label, hint, error, isLabelHidden }}>
      {(given) => <textarea rows={3} {...rest} {...given} value={value} onInput={(event) => onInput(event.currentTarget.value)} />}
    </Field>
  );
}

export interface Option {
  value: string;
  label: string;
  group?: string;
}

export function Select({ label, hint, error, isLabelHidden, value, onChange, options, ...rest }: Described & { value: string; onChange: (value: string) => void; options: Option[]; disabled?: boolean }) {
  const groups = [...new Set(options.map((option) => option.group ?? ""))];
  const drawn = (group: string) =>
    options.filter((option) => (option.group ?? "") === group).map((option) => <option key={option.value} value={option.value}>{option.label}</option>);
  return (
    <Field {...{ label, hint, error, isLabelHidden }}>
      {(given) => (
        <select {...rest} {...given} value={value} onChange={(event) => onChange(event.currentTarget.value)}>
          {groups.map((group) => (group ? <optgroup key={group} label={group}>{drawn(group)}</optgroup> : drawn(group)))}
        </select>
      )}
    </Field>
  );
}

export function Checkbox({ label, isChecked, onChange, ...rest }: { label: ComponentChildren; isChecked: boolean; onChange: (value: boolean) => void; disabled?: boolean }) {
  return (
    <label class="checkbox">
      <input type="checkbox" {...rest} checked={isChecked} onChange={(event) => onChange(event.currentTarget.checked)} />
      <span>{label}</span>
    </label>
  );
}

/** A slider with its value beside it. */
export function Slider({ label, hint, value, onInput, min, max, step = 1, shown }: Described & { value: number; onInput: (value: number) => void; min: number; max: number; step?: number; shown?: string }) {
  return (
    <Field label={label} hint={hint}>
      {(given) => (
        <span class="slider">
          <input type="range" {...given} min={min} max={max} step={step} value={value} aria-valuetext={shown} onInput={(event) => onInput(event.currentTarget.valueAsNumber)} />
          <output>{shown ?? value}</output>
        </span>
      )}
    </Field>
  );
}
