/** The status of a job, and the progress of a render. */
import { defineMessages, useMessages } from "~/app/i18n";

const messages = defineMessages({
  en: { waiting: "waiting", queued: "queued", running: "running", succeeded: "succeeded", failed: "failed", canceled: "canceled", expired: "expired", step: "step {step} of {total}" },
  pt: { waiting: "em espera", queued: "na fila", running: "em execução", succeeded: "concluída", failed: "falhou", canceled: "cancelada", expired: "expirada", step: "passo {step} de {total}" },
  es: { waiting: "en espera", queued: "en cola", running: "en curso", succeeded: "terminado", failed: "falló", canceled: "cancelado", expired: "caducado", step: "paso {step} de {total}" },
  uk: { waiting: "чекає", queued: "у черзі", running: "виконується", succeeded: "готово", failed: "збій", canceled: "скасовано", expired: "прострочено", step: "крок {step} з {total}" },
});

export const STATUSES = ["waiting", "queued", "running", "succeeded", "failed", "canceled", "expired"] as const;
export type Status = (typeof STATUSES)[number];

/** Return the function that names a status in the reader's language. */
export function useStatusName(): (status: string) => string {
  const t = useMessages(messages);
  return (status) => ((STATUSES as readonly string[]).includes(status) ? t(status as Status) : status);
}

export function StatusBadge({ status }: { status: string }) {
  const name = useStatusName();
  return <span class={`status status-${status}`}>{name(status)}</span>;
}

/** A bar with the step it is at. `progress` is between 0 and 1. */
export function Progress({ progress, step, total, label }: { progress: number; step?: number; total?: number; label: string }) {
  const t = useMessages(messages);
  const percent = Math.round(progress * 100);
  return (
    <div class="progress" role="progressbar" aria-label={label} aria-valuenow={percent} aria-valuemin={0} aria-valuemax={100}>
      <div class="progress-bar" style={{ width: `${percent}%` }} />
      {step !== undefined && total !== undefined && total > 0 && <span class="progress-text">{t("step", { step, total })}</span>}
    </div>
  );
}
