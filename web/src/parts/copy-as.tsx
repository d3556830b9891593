/** "Copy as": the call of the API that a screen or a button makes, as curl, Python and command line. */
import { useState } from "preact/hooks";
import { defineMessages, useMessages } from "~/app/i18n";
import { Button } from "./button";
import { copyText } from "./clipboard";
import { Dialog } from "./dialog";

export interface Call {
  method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** The path with its query, as `/api/v1/jobs?status=failed`. */
  path: string;
  body?: unknown;
  /** The equal command, as `imagemill jobs list --status failed`. */
  cli?: string;
  /** The equal call of the Python client, where it has one; else httpx is shown. */
  python?: string;
}

const messages = defineMessages({
  en: { copyAs: "Copy as", copied: "Copied", copy: "Copy", line: "Command line" },
  pt: { copyAs: "Copiar como", copied: "Copiado", copy: "Copiar", line: "Linha de comando" },
  es: { copyAs: "Copiar como", copied: "Copiado", copy: "Copiar", line: "Línea de comandos" },
  uk: { copyAs: "Копіювати як", copied: "Скопійовано", copy: "Копіювати", line: "Командний рядок" },
});

const quoted = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`;

/** Return a call as a curl command. */
export function curl({ method, path, body }: Call): string {
  const lines = [`curl -s${method === "GET" ? "" : ` -X ${method}`} ${quoted(location.origin + path)}`, `-H "Authorization: Bearer $IMAGEMILL_TOKEN"`];
  if (body !== undefined) lines.push(`-H 'Content-Type: application/json'`, `-d ${quoted(JSON.stringify(body))}`);
  return lines.join(" \\\n  ");
}

function python({ method, path, body, python: own }: Call): string {
  if (own) return `from imagemill_client import Imagemill\n\nclient = Imagemill(${JSON.stringify(location.origin)})\n${own}`;
  const json = body === undefined ? "" : `, json=json.loads(${JSON.stringify(JSON.stringify(body))})`;
  const head = body === undefined ? "import os\n\nimport httpx" : "import json\nimport os\n\nimport httpx";
  const headers = `{"Authorization": f"Bearer {os.environ['IMAGEMILL_TOKEN']}"}`;
  return `${head}\n\nanswer = httpx.request(${JSON.stringify(method)}, ${JSON.stringify(location.origin + path)}, headers=${headers}${json})\nprint(answer.json())`;
}

/** A text with a button that copies it. */
export function CopyText({ text, label }: { text: string; label: string }) {
  const t = useMessages(messages);
  const [isCopied, setCopied] = useState(false);
  const copy = () => {
    void copyText(text).then(() => {
      setCopied(true);
      setTimeout(() => setCopied(false), 1500);
    });
  };
  return (
    <figure class="copy-text">
      <figcaption>
        <span>{label}</span>
        <Button kind="quiet" icon={isCopied ? "check" : "copy"} onClick={copy} aria-label={`${t("copy")}: ${label}`}>{isCopied ? t("copied") : t("copy")}</Button>
      </figcaption>
      <pre tabIndex={0}>{text}</pre>
    </figure>
  );
}

export function CopyAs({ call, label }: { call: Call; label?: string }) {
  const t = useMessages(messages);
  const [isOpen, setOpen] = useState(false);
  return (
    <>
      <Button kind="quiet" icon="copy" onClick={() => setOpen(true)}>{label ?? t("copyAs")}</Button>
      <Dialog title={t("copyAs")} isOpen={isOpen} onClose={() => setOpen(false)} isWide>
        <CopyText label="curl" text={curl(call)} />
        {call.cli && <CopyText label={t("line")} text={call.cli} />}
        <CopyText label="Python" text={python(call)} />
      </Dialog>
    </>
  );
}
