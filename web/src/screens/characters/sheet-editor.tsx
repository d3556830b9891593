/** The sheet of a character, with the tags that the image model gets beside it, live. */
import { useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "preact/hooks";
import { Problem, api, data } from "~/api/http";
import { useMessages } from "~/app/i18n";
import { Button } from "~/parts/button";
import { CopyAs } from "~/parts/copy-as";
import { TextArea, TextInput } from "~/parts/field";
import { Icon } from "~/parts/icon";
import { Notice, ProblemNotice } from "~/parts/page";
import { messages } from "./messages";
import { EMPTY, FIELDS, type Sheet } from "./pictures";

const LONG = new Set<string>(["physical", "attire", "description"]);
const PAUSE_MS = 250;

interface SheetEditorProps {
  id: string;
  sheet: Sheet;
  isChanged: boolean;
  isAllowed: boolean;
  onChange: (sheet: Sheet) => void;
  onSave: () => Promise<void>;
  onDiscard: () => void;
}

export function SheetEditor({ id, sheet, isChanged, isAllowed, onChange, onSave, onDiscard }: SheetEditorProps) {
  const t = useMessages(messages);
  const [problem, setProblem] = useState<unknown>(null);
  const [isBusy, setBusy] = useState(false);
  const [loras, setLoras] = useState<string | null>(null);
  const wrong = (field: string) => (problem instanceof Problem ? problem.errors[`character.${field}`]?.join("; ") : undefined);
  const save = async () => {
    setBusy(true);
    setProblem(null);
    try {
      await onSave();
      setLoras(null);
    } catch (error) {
      setProblem(error);
    }
    setBusy(false);
  };
  const takeLoras = (text: string) => {
    setLoras(text);
    const airs = text.split(",").map((each) => each.trim()).filter(Boolean);
    onChange({ ...sheet, lora: airs.map((air) => sheet.lora.find((each) => each.air === air) ?? { air, name: "", strength: 1 }) });
  };
  const written = { character: writtenSheet(sheet) };
  const path = `/api/v1/image-generation/characters/${id}`;
  return (
    <section class="characters-sheet card" aria-label={t("sheet")}>
      <header>
        <h2>{t("sheet")}</h2>
        {isChanged && <span class="status">{t("unsaved")}</span>}
        <span class="characters-grow" />
        <Button kind="quiet" icon="download" onClick={() => download(`${id}.json`, { characterId: id, ...written })}>{t("export")}</Button>
      </header>
      <p class="soft small">{t("anyLanguage")}</p>
      {problem !== null && <ProblemNotice error={problem} />}
      <div class="characters-fields">
        {FIELDS.map((name) => {
          const given = { label: t(name), value: sheet[name], error: wrong(name), disabled: !isAllowed, onInput: (value: string) => onChange({ ...sheet, [name]: value }) };
          return LONG.has(name) ? <TextArea key={name} rows={2} {...given} /> : <TextInput key={name} {...given} />;
        })}
        <TextInput label={t("lora")} hint={t("loraHint")} disabled={!isAllowed} value={loras ?? sheet.lora.map((each) => each.air).join(", ")} error={wrong("lora") ?? wrong("lora[0]")} onInput={takeLoras} />
      </div>
      {isAllowed && (
        <div class="characters-buttons">
          <Button kind="primary" icon="check" isBusy={isBusy} disabled={!isChanged} onClick={() => void save()}>{t("save")}</Button>
          {isChanged && <Button kind="quiet" onClick={() => { setLoras(null); onDiscard(); }}>{t("discard")}</Button>}
          <CopyAs call={{ method: "PUT", path, body: written, cli: `imagemill characters store ${id}${optionsOf(sheet)}` }} />
        </div>
      )}
      {isAllowed && <Tags sheet={sheet} />}
    </section>
  );
}

/** The tags of a sheet a moment after it was changed, and the words that are in none. */
function Tags({ sheet }: { sheet: Sheet }) {
  const t = useMessages(messages);
  const [settled, setSettled] = useState(sheet);
  const text = JSON.stringify(sheet);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(sheet), PAUSE_MS);
    return () => clearTimeout(timer);
  }, [text]);
  const found = useQuery({
    queryKey: ["character-tags", settled],
    queryFn: ({ signal }) => data(api.POST("/api/v1/image-generation/characters/preview", { body: { character: settled }, signal })),
    placeholderData: (before) => before,
    staleTime: Number.POSITIVE_INFINITY,
  });
  const preview = found.data;
  const groups = preview ? ([[t("gender"), preview.gender === "unknown" ? [] : [preview.gender]], [t("physical"), preview.physical], [t("attire"), preview.attire], [t("style"), preview.style]] as const).filter(([, tags]) => tags.length) : [];
  return (
    <section class="characters-tags" aria-label={t("tags")} aria-live="polite">
      <h3>{t("tags")}</h3>
      {found.error && <ProblemNotice error={found.error} onRetry={() => void found.refetch()} />}
      {preview && !groups.length && <p class="soft">{t("noTags")}</p>}
      {groups.map(([name, tags]) => (
        <div key={name} class="characters-tag-row">
          <span class="soft small">{name}</span>
          <span>{tags.map((tag) => <code key={tag} class="characters-tag">{tag}</code>)}</span>
        </div>
      ))}
      {preview && preview.untranslated.length > 0 && (
        <Notice tone="warn">
          <p><strong>{t("lost")}:</strong> {preview.untranslated.map((word) => <mark key={word} class="characters-lost">{word}</mark>)}</p>
          <p class="small">{t("lostText")}</p>
        </Notice>
      )}
      {preview && groups.length > 0 && !preview.untranslated.length && <p class="small characters-understood"><Icon name="check" size={16} />{t("all")}</p>}
      {preview?.languageModel && <p class="soft small">{t("byModel")}</p>}
      {preview && groups.length > 0 && (
        <details>
          <summary class="small">{t("fullPrompt")}</summary>
          <p class="small characters-prompt">{preview.prompt}</p>
          <p class="soft small characters-prompt">{t("negative")}: {preview.negativePrompt}</p>
        </details>
      )}
    </section>
  );
}

/** Return a sheet without its empty fields. */
function writtenSheet(sheet: Sheet): Partial<Sheet> {
  return Object.fromEntries(Object.entries({ ...EMPTY, ...sheet }).filter(([, value]) => value.length > 0));
}

function optionsOf(sheet: Sheet): string {
  const texts = FIELDS.filter((name) => sheet[name]).map((name) => ` --${name} '${sheet[name]}'`);
  return [...texts, ...sheet.lora.map(({ air }) => ` --lora ${air}`)].join("");
}

function download(name: string, value: unknown): void {
  const url = URL.createObjectURL(new Blob([`${JSON.stringify(value, null, 2)}\n`], { type: "application/json" }));
  const link = Object.assign(document.createElement("a"), { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}
