/** The operations that run: how far each is, and its undo. It stands at the edge of every page. */
import { useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "preact/hooks";
import { type Schema, api, data } from "~/api/http";
import { refresh } from "~/api/queries";
import { Button } from "~/parts/button";
import { Progress } from "~/parts/status";
import { defineMessages, useMessages } from "./i18n";
import { ownerQuery, useSession } from "./session";
import { toast } from "./toasts";

export type Operation = Schema<"OperationBody">;

/** The operations whose end is still to be told. */
const followed = new Set<string>();

/** Show how far an operation is, and say with numbers how it ends, however fast that is. */
export function followOperation(id: string): void {
  followed.add(id);
  refresh("operations");
}

const messages = defineMessages({
  en: {
    cancel: "Canceling jobs", replay: "Submitting jobs again", delete: "Deleting jobs", priority: "Changing priorities", undo: "Undo", stop: "Stop", starts: "starts in a moment",
    undone: "Undone: no job was changed", stopped: "Stopped after {done} of {total} jobs",
    doneCancel: { one: "{count} job canceled", other: "{count} jobs canceled" }, doneReplay: { one: "{count} job submitted again", other: "{count} jobs submitted again" },
    doneDelete: { one: "{count} job deleted", other: "{count} jobs deleted" }, donePriority: { one: "{count} priority changed", other: "{count} priorities changed" },
    skipped: "{count} left alone", failed: "{count} failed",
  },
  pt: {
    cancel: "Cancelando tarefas", replay: "Enviando tarefas de novo", delete: "Excluindo tarefas", priority: "Mudando prioridades", undo: "Desfazer", stop: "Parar", starts: "começa em instantes",
    undone: "Desfeito: nenhuma tarefa foi alterada", stopped: "Parou depois de {done} de {total} tarefas",
    doneCancel: { one: "{count} tarefa cancelada", other: "{count} tarefas canceladas" }, doneReplay: { one: "{count} tarefa enviada de novo", other: "{count} tarefas enviadas de novo" },
    doneDelete: { one: "{count} tarefa excluída", other: "{count} tarefas excluídas" }, donePriority: { one: "{count} prioridade mudada", other: "{count} prioridades mudadas" },
    skipped: "{count} ignoradas", failed: "{count} falharam",
  },
  es: {
    cancel: "Cancelando trabajos", replay: "Enviando trabajos de nuevo", delete: "Borrando trabajos", priority: "Cambiando prioridades", undo: "Deshacer", stop: "Parar", starts: "empieza enseguida",
    undone: "Deshecho: no cambió ningún trabajo", stopped: "Se paró tras {done} de {total} trabajos",
    doneCancel: { one: "{count} trabajo cancelado", other: "{count} trabajos cancelados" }, doneReplay: { one: "{count} trabajo enviado de nuevo", other: "{count} trabajos enviados de nuevo" },
    doneDelete: { one: "{count} trabajo borrado", other: "{count} trabajos borrados" }, donePriority: { one: "{count} prioridad cambiada", other: "{count} prioridades cambiadas" },
    skipped: "{count} sin tocar", failed: "{count} fallaron",
  },
  uk: {
    cancel: "Скасовуємо завдання", replay: "Надсилаємо завдання знову", delete: "Видаляємо завдання", priority: "Змінюємо пріоритети", undo: "Скасувати дію", stop: "Зупинити", starts: "почнеться за мить",
    undone: "Дію скасовано: жодне завдання не змінено", stopped: "Зупинено після {done} з {total} завдань",
    doneCancel: { one: "Скасовано {count} завдання", few: "Скасовано {count} завдання", many: "Скасовано {count} завдань", other: "Скасовано {count} завдання" },
    doneReplay: { one: "Знову надіслано {count} завдання", few: "Знову надіслано {count} завдання", many: "Знову надіслано {count} завдань", other: "Знову надіслано {count} завдання" },
    doneDelete: { one: "Видалено {count} завдання", few: "Видалено {count} завдання", many: "Видалено {count} завдань", other: "Видалено {count} завдання" },
    donePriority: { one: "Змінено {count} пріоритет", few: "Змінено {count} пріоритети", many: "Змінено {count} пріоритетів", other: "Змінено {count} пріоритету" },
    skipped: "{count} без змін", failed: "{count} зі збоєм",
  },
});

const DONE = { cancel: "doneCancel", replay: "doneReplay", delete: "doneDelete", priority: "donePriority" } as const;

/** Return the function that says with numbers how an operation has ended. */
function useOutcome(): (operation: Operation) => string {
  const t = useMessages(messages);
  return ({ action, state, done, total, skipped, failed }) => {
    if (state === "canceled") return done ? t("stopped", { done, total }) : t("undone");
    const parts = [t(DONE[action], { count: done })];
    if (skipped) parts.push(t("skipped", { count: skipped }));
    if (failed) parts.push(t("failed", { count: failed }));
    return parts.join(", ");
  };
}

export function OperationTray() {
  const t = useMessages(messages);
  const { owner } = useSession();
  const outcome = useOutcome();
  const found = useQuery({
    queryKey: ["operations", owner],
    queryFn: ({ signal }) => data(api.GET("/api/v1/operations", { params: { query: { limit: 10, ...ownerQuery() } }, signal })),
    staleTime: 60_000,
  });
  const items = found.data?.items ?? [];
  const open = items.filter((each) => !each.finishedAt);
  useEffect(() => {
    const ended = items.filter((each) => each.finishedAt && followed.has(each.id));
    for (const each of ended) {
      followed.delete(each.id);
      toast({ text: outcome(each), tone: each.failed ? "bad" : "good" });
    }
    if (ended.length) refresh("jobs", "counts", "artifacts");
    for (const each of items) if (!each.finishedAt) followed.add(each.id);
  }, [found.data]);
  useStart(open);
  if (!open.length) return null;
  const stop = async (operation: Operation) => {
    try {
      await data(api.DELETE("/api/v1/operations/{operation_id}", { params: { path: { operation_id: operation.id }, query: ownerQuery() } }));
    } catch (error) {
      toast({ text: error instanceof Error ? error.message : String(error), tone: "bad" });
    }
    refresh("operations", "jobs", "counts");
  };
  return (
    <div class="operation-tray" role="status" aria-live="polite">
      {open.map((each) => (
        <div key={each.id} class="operation">
          <div class="operation-head">
            <strong>{t(each.action)}</strong>
            <Button kind="quiet" onClick={() => void stop(each)}>{t(each.state === "scheduled" ? "undo" : "stop")}</Button>
          </div>
          {each.state === "scheduled" ? <p>{t("starts")}</p> : (
            <Progress label={t(each.action)} progress={each.total ? (each.done + each.skipped + each.failed) / each.total : 0} step={each.done + each.skipped + each.failed} total={each.total} />
          )}
        </div>
      ))}
    </div>
  );
}

/** Read the operations again when one is due to begin. */
function useStart(open: readonly Operation[]): void {
  const next = Math.min(...open.filter((each) => each.state === "scheduled").map((each) => new Date(each.startsAt).getTime()));
  const [, again] = useState(0);
  useEffect(() => {
    if (!Number.isFinite(next)) return;
    const timer = setTimeout(() => {
      refresh("operations");
      again((count) => count + 1);
    }, Math.max(500, next - Date.now() + 700));
    return () => clearTimeout(timer);
  }, [next]);
}
