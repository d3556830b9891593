/** The frame of a screen, and what is shown while there is nothing, or an error, or an answer to wait for. */
import type { ComponentChildren } from "preact";
import { useEffect } from "preact/hooks";
import { Problem } from "~/api/http";
import { defineMessages, useMessages } from "~/app/i18n";
import { Button } from "./button";
import { type Call, CopyAs } from "./copy-as";
import { Icon, type IconName } from "./icon";

const messages = defineMessages({
  en: { again: "Try again", loading: "Reading {what}", unreachable: "The server does not answer. Is it running? What you typed is kept." },
  pt: { again: "Tentar de novo", loading: "Lendo {what}", unreachable: "O servidor não responde. Ele está em execução? O que você digitou foi guardado." },
  es: { again: "Intentar de nuevo", loading: "Leyendo {what}", unreachable: "El servidor no responde. ¿Está en marcha? Lo que escribiste se conserva." },
  uk: { again: "Спробувати ще раз", loading: "Читаємо: {what}", unreachable: "Сервер не відповідає. Чи він працює? Введене збережено." },
});

/** A screen: its heading, its actions, and the call that reads what it shows. */
export function Page({ title, actions, call, children, isFull }: { title: string; actions?: ComponentChildren; call?: Call; children: ComponentChildren; isFull?: boolean }) {
  useEffect(() => {
    document.title = `${title} · Imagemill`;
  }, [title]);
  return (
    <section class={`page${isFull ? " page-full" : ""}`}>
      <header class="page-head">
        <h1>{title}</h1>
        <div class="page-actions">
          {actions}
          {call && <CopyAs call={call} />}
        </div>
      </header>
      {children}
    </section>
  );
}

/** A message in the flow of a page. */
export function Notice({ tone = "info", children, actions }: { tone?: "info" | "good" | "warn" | "bad"; children: ComponentChildren; actions?: ComponentChildren }) {
  const icon: IconName = tone === "good" ? "check" : tone === "info" ? "info" : "failures";
  return (
    <div class={`notice notice-${tone}`} role={tone === "bad" ? "alert" : undefined}>
      <Icon name={icon} />
      <div>{children}</div>
      {actions && <div class="notice-actions">{actions}</div>}
    </div>
  );
}

/** An error, what to do about it, and its fields. */
export function ProblemNotice({ error, onRetry }: { error: unknown; onRetry?: () => void }) {
  const t = useMessages(messages);
  const text = error instanceof Problem && error.status === 0 ? t("unreachable") : error instanceof Error ? error.message : String(error);
  const fields = error instanceof Problem ? Object.entries(error.errors) : [];
  return (
    <Notice tone="bad" actions={onRetry && <Button icon="refresh" onClick={onRetry}>{t("again")}</Button>}>
      <p>{text}</p>
      {fields.length > 0 && (
        <ul>
          {fields.map(([path, problems]) => <li key={path}><code>{path}</code> {problems.join("; ")}</li>)}
        </ul>
      )}
    </Notice>
  );
}

/** What is shown where there is nothing yet: a sentence, and what to do. */
export function Empty({ icon, title, children }: { icon: IconName; title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <Icon name={icon} size={32} />
      <h2>{title}</h2>
      {children}
    </div>
  );
}

/** A wait with its reason; it appears only after a moment, so that quick answers do not flicker. */
export function Waiting({ what }: { what: string }) {
  const t = useMessages(messages);
  return <p class="waiting" role="status"><span class="waiting-dots" aria-hidden="true" />{t("loading", { what })}</p>;
}
