/** A picture as the input of a job: dropped, chosen, or one that was made here. */
import { useState } from "preact/hooks";
import { type Schema, send } from "~/api/http";
import { defineMessages, useMessages } from "~/app/i18n";
import { IconButton } from "./button";
import { DropZone } from "./drop-zone";
import { ProblemNotice, Waiting } from "./page";
import "./picture-field.css";

const messages = defineMessages({
  en: { drop: "Drop a picture, or choose one", remove: "Remove {label}", uploading: "{name} to the server", given: "{label}: {value}" },
  pt: { drop: "Solte uma imagem ou escolha uma", remove: "Remover {label}", uploading: "{name} para o servidor", given: "{label}: {value}" },
  es: { drop: "Suelta una imagen o elige una", remove: "Quitar {label}", uploading: "{name} hacia el servidor", given: "{label}: {value}" },
  uk: { drop: "Перетягніть або оберіть зображення", remove: "Прибрати: {label}", uploading: "{name} на сервер", given: "{label}: {value}" },
});

interface PictureFieldProps {
  label: string;
  /** The name of an uploaded picture (`blob:...`) or a URL; empty for none. */
  value: string;
  onChange: (value: string) => void;
  error?: string;
}

/** Addresses of the pictures that were uploaded in this tab, by their name. */
const shown = new Map<string, string>();

/** Remember where a picture can be seen that is used as an input. */
export function rememberPicture(name: string, url: string): void {
  shown.set(name, url);
}

export function PictureField({ label, value, onChange, error }: PictureFieldProps) {
  const t = useMessages(messages);
  const [uploading, setUploading] = useState("");
  const [problem, setProblem] = useState<unknown>(null);
  const take = async ([file]: File[]) => {
    if (!file) return;
    setProblem(null);
    setUploading(file.name);
    try {
      const body = new FormData();
      body.append("file", file);
      const upload = await send<Schema<"Upload">>("POST", "/api/v1/uploads", body);
      rememberPicture(upload.key, upload.url);
      onChange(upload.key);
    } catch (failure) {
      setProblem(failure);
    } finally {
      setUploading("");
    }
  };
  const url = shown.get(value) ?? (/^(https?:|data:image|\/)/.test(value) ? value : "");
  return (
    <div class="field picture-field">
      {value && <span class="picture-field-label">{label}</span>}
      {value ? (
        <div class="picture-field-given">
          {url ? <img src={url} alt={t("given", { label, value: value.slice(0, 60) })} /> : <code>{value.slice(0, 60)}</code>}
          <IconButton icon="close" label={t("remove", { label })} onClick={() => onChange("")} />
        </div>
      ) : (
        <DropZone label={`${label}: ${t("drop")}`} accept="image/png,image/jpeg,image/webp" onFiles={(files) => void take(files)} />
      )}
      {uploading && <Waiting what={t("uploading", { name: uploading })} />}
      {problem !== null && <ProblemNotice error={problem} />}
      {error && <p class="field-error" role="alert">{error}</p>}
    </div>
  );
}
