/** Name, age and language: what the story says about the child. */
import { api, data } from "~/api/http";
import { useLanguage, useMessages } from "~/app/i18n";
import { useDraft } from "~/app/state";
import { Button } from "~/parts/button";
import { NumberInput, Select, TextInput } from "~/parts/field";
import { useState } from "preact/hooks";
import { madeMessages } from "./made-messages";
import type { StepProps } from "./made";
import { Trouble, useAsk } from "./parts";

const GENDERS = ["girl", "boy", "neutral"] as const;
type Gender = (typeof GENDERS)[number];

interface Draft {
  name: string;
  age: number | null;
  gender: Gender | "";
  language: string;
}

export function ChildStep({ book, offered, live }: StepProps) {
  const t = useMessages(madeMessages);
  const reader = useLanguage();
  const languages = offered?.languages ?? [];
  const [draft, setDraft] = useDraft<Draft>(`studio.child.${book.id}`, { name: "", age: null, gender: "", language: "" });
  const [isTried, setTried] = useState(false);
  const { isBusy, problem, ask } = useAsk(live.reload);
  const language = draft.language || (languages.includes(reader) ? reader : (languages[0] ?? "en"));
  const ages = offered?.people.find((person) => person.role === "hero")?.ages ?? [];
  const isAgeRight = draft.age !== null && Number.isInteger(draft.age) && draft.age >= 0 && draft.age <= 120;
  const change = (some: Partial<Draft>) => setDraft({ ...draft, ...some });
  const onSubmit = (event: SubmitEvent) => {
    event.preventDefault();
    setTried(true);
    const { name, age, gender } = draft;
    if (!name.trim() || !isAgeRight || age === null || !gender) return;
    const body = { childName: name.trim(), childAge: age, childGender: gender, language };
    ask(async () => live.take(await data(api.POST("/api/v1/personalizations/{id}/generate", { params: { path: { id: book.id } }, body }))));
  };
  return (
    <form class="studio-card" onSubmit={onSubmit} noValidate>
      <h1>{t("childTitle")}</h1>
      <p>{t("childText")}</p>
      <TextInput label={t("childName")} hint={t("childNameHint")} value={draft.name} maxLength={60} autocomplete="off" onInput={(name) => change({ name })}
        error={isTried && !draft.name.trim() ? t("childNameMissing") : undefined} />
      <NumberInput label={t("childAge")} hint={ages.length === 2 ? t("childAgeHint", { from: ages[0] ?? 0, to: ages[1] ?? 0 }) : undefined} min={0} max={120} step={1} inputMode="numeric"
        value={draft.age} onInput={(age) => change({ age })} error={isTried && !isAgeRight ? t("childAgeMissing") : undefined} />
      <fieldset class="studio-choices">
        <legend>{t("childGender")}</legend>
        {GENDERS.map((gender) => (
          <label key={gender}>
            <input type="radio" name="gender" value={gender} checked={draft.gender === gender} onChange={() => change({ gender })} />
            <span>{t(gender)}</span>
          </label>
        ))}
        {isTried && !draft.gender && <p class="field-error" role="alert">{t("childGenderMissing")}</p>}
      </fieldset>
      {languages.length > 1 && (
        <Select label={t("bookLanguage")} value={language} onChange={(value) => change({ language: value })}
          options={languages.map((value) => ({ value, label: nameOfLanguage(value) }))} />
      )}
      {problem !== null && <Trouble error={problem} />}
      <Button kind="primary" type="submit" icon="make" isBusy={isBusy}>{t("paint")}</Button>
    </form>
  );
}

/** Return a language by the name that its speakers use. */
function nameOfLanguage(code: string): string {
  const name = new Intl.DisplayNames([code], { type: "language" }).of(code) ?? code;
  return name.charAt(0).toLocaleUpperCase(code) + name.slice(1);
}
