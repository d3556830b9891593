/** Act on all jobs of a filter: a dry run says how many it concerns, then it runs as an operation. */
import { useQuery } from "@tanstack/react-query";
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { type Schema, api, data } from "~/api/http";
import { defineMessages, useMessages } from "~/app/i18n";
import { followOperation } from "~/app/operation-tray";
import { Button } from "./button";
import { CopyAs } from "./copy-as";
import { Dialog } from "./dialog";
import { NumberInput } from "./field";
import { ProblemNotice, Waiting } from "./page";

export type Action = Schema<"OperationAction">;
export type Override = Schema<"OverrideBody">;
type Reason = Schema<"Ineligible">;

const messages = defineMessages({
  en: {
    cancel: "Cancel jobs", replay: "Submit jobs again", delete: "Delete jobs", priority: "Change the priority", counting: "how many jobs match",
    willCancel: { one: "{count} job will be canceled.", other: "{count} jobs will be canceled." }, willReplay: { one: "{count} job will be submitted again.", other: "{count} jobs will be submitted again." },
    willDelete: { one: "{count} job will be deleted with its pictures.", other: "{count} jobs will be deleted with their pictures." }, willPriority: { one: "{count} job will get the priority.", other: "{count} jobs will get the priority." },
    atLeast: "There are so many that not all were counted: at least these.", ended: "{count} have ended already", open: "{count} have not ended yet", notWaiting: "{count} do not wait any more", replayed: "{count} were submitted again already",
    alone: "Left alone:", number: "Priority", smaller: "-100 to 100; a smaller number is more urgent", start: "Start", back: "Back", undo: "It starts after five seconds, in which you can undo it.", none: "No job matches that this can be done with.",
  },
  pt: {
    cancel: "Cancelar tarefas", replay: "Enviar tarefas de novo", delete: "Excluir tarefas", priority: "Mudar a prioridade", counting: "quantas tarefas correspondem",
    willCancel: { one: "{count} tarefa será cancelada.", other: "{count} tarefas serão canceladas." }, willReplay: { one: "{count} tarefa será enviada de novo.", other: "{count} tarefas serão enviadas de novo." },
    willDelete: { one: "{count} tarefa será excluída com suas imagens.", other: "{count} tarefas serão excluídas com suas imagens." }, willPriority: { one: "{count} tarefa receberá a prioridade.", other: "{count} tarefas receberão a prioridade." },
    atLeast: "São tantas que nem todas foram contadas: pelo menos estas.", ended: "{count} já terminaram", open: "{count} ainda não terminaram", notWaiting: "{count} não esperam mais", replayed: "{count} já foram enviadas de novo",
    alone: "Sem alteração:", number: "Prioridade", smaller: "De -100 a 100; um número menor é mais urgente", start: "Começar", back: "Voltar", undo: "Começa depois de cinco segundos, em que você pode desfazer.", none: "Nenhuma tarefa correspondente permite isso.",
  },
  es: {
    cancel: "Cancelar trabajos", replay: "Enviar trabajos de nuevo", delete: "Borrar trabajos", priority: "Cambiar la prioridad", counting: "cuántos trabajos coinciden",
    willCancel: { one: "Se cancelará {count} trabajo.", other: "Se cancelarán {count} trabajos." }, willReplay: { one: "Se enviará de nuevo {count} trabajo.", other: "Se enviarán de nuevo {count} trabajos." },
    willDelete: { one: "Se borrará {count} trabajo con sus imágenes.", other: "Se borrarán {count} trabajos con sus imágenes." }, willPriority: { one: "{count} trabajo recibirá la prioridad.", other: "{count} trabajos recibirán la prioridad." },
    atLeast: "Son tantos que no se contaron todos: al menos estos.", ended: "{count} ya terminaron", open: "{count} aún no terminaron", notWaiting: "{count} ya no esperan", replayed: "{count} ya se enviaron de nuevo",
    alone: "Sin cambios:", number: "Prioridad", smaller: "De -100 a 100; un número menor es más urgente", start: "Empezar", back: "Volver", undo: "Empieza tras cinco segundos, en los que puedes deshacerlo.", none: "Ningún trabajo coincidente lo permite.",
  },
  uk: {
    cancel: "Скасувати завдання", replay: "Надіслати завдання знову", delete: "Видалити завдання", priority: "Змінити пріоритет", counting: "скільки завдань відповідає",
    willCancel: { one: "Буде скасовано {count} завдання.", few: "Буде скасовано {count} завдання.", many: "Буде скасовано {count} завдань.", other: "Буде скасовано {count} завдання." },
    willReplay: { one: "Буде знову надіслано {count} завдання.", few: "Буде знову надіслано {count} завдання.", many: "Буде знову надіслано {count} завдань.", other: "Буде знову надіслано {count} завдання." },
    willDelete: { one: "Буде видалено {count} завдання із зображеннями.", few: "Буде видалено {count} завдання із зображеннями.", many: "Буде видалено {count} завдань із зображеннями.", other: "Буде видалено {count} завдання із зображеннями." },
    willPriority: { one: "{count} завдання отримає пріоритет.", few: "{count} завдання отримають пріоритет.", many: "{count} завдань отримають пріоритет.", other: "{count} завдання отримає пріоритет." },
    atLeast: "Їх так багато, що пораховано не всі: щонайменше стільки.", ended: "{count} уже завершено", open: "{count} ще не завершено", notWaiting: "{count} вже не чекають", replayed: "{count} вже надіслано знову",
    alone: "Без змін:", number: "Пріоритет", smaller: "Від -100 до 100; менше число — терміновіше", start: "Почати", back: "Назад", undo: "Почнеться за п'ять секунд, упродовж яких це можна скасувати.", none: "Немає відповідних завдань, з якими це можна зробити.",
  },
});

const ALL: Schema<"JobFilter"> = { id: [], status: [], recipe: [], model: [], node: [], error: [], label: [], batch: [], text: "" };
const WILL = { cancel: "willCancel", replay: "willReplay", delete: "willDelete", priority: "willPriority" } as const;

interface BulkDialogProps {
  /** Null closes the dialog. */
  action: Action | null;
  /** The body's filter: `{ status: ["failed"] }`. */
  filter: Partial<Schema<"JobFilter">>;
  owner: { owner?: string };
  override?: Override;
  title?: string;
  onClose: () => void;
  onStarted?: () => void;
  /** Further fields, before the numbers. */
  children?: ComponentChildren;
}

export function BulkDialog({ action, filter, owner, override, title, onClose, onStarted, children }: BulkDialogProps) {
  const t = useMessages(messages);
  const [priority, setPriority] = useState<number | null>(-10);
  const [error, setError] = useState<unknown>(null);
  const [isBusy, setBusy] = useState(false);
  const body = (dryRun: boolean): Schema<"BulkRequest"> => ({
    action: action ?? "cancel",
    filter: { ...ALL, ...filter },
    dryRun,
    ...(action === "priority" ? { priority: priority ?? 0 } : {}),
    ...(action === "replay" && override ? { override } : {}),
  });
  const counted = useQuery({
    queryKey: ["counts", "bulk", action, filter, owner],
    queryFn: ({ signal }) => data(api.POST("/api/v1/jobs/bulk", { params: { query: owner }, body: body(true), signal })) as Promise<Schema<"DryRunBody">>,
    enabled: action !== null,
    staleTime: 0,
    gcTime: 0,
  });
  const found = counted.data;
  const start = async () => {
    setBusy(true);
    setError(null);
    try {
      const started = (await data(api.POST("/api/v1/jobs/bulk", { params: { query: owner }, body: body(false) }))) as Schema<"OperationBody">;
      followOperation(started.id);
      onStarted?.();
      onClose();
    } catch (problem) {
      setError(problem);
    } finally {
      setBusy(false);
    }
  };
  if (!action) return null;
  const left = Object.entries(found?.ineligible ?? {}) as [Reason, number][];
  const path = `/api/v1/jobs/bulk${owner.owner ? `?owner=${encodeURIComponent(owner.owner)}` : ""}`;
  return (
    <Dialog title={title ?? t(action)} isOpen onClose={onClose} actions={
      <>
        <CopyAs call={{ method: "POST", path, body: { ...body(false), filter }, cli: command(action, filter) }} />
        <Button onClick={onClose}>{t("back")}</Button>
        <Button kind="primary" isBusy={isBusy} blocked={found && !found.eligible ? t("none") : undefined} onClick={() => void start()}>{t("start")}</Button>
      </>
    }>
      {children}
      {action === "priority" && <NumberInput label={t("number")} hint={t("smaller")} value={priority} onInput={setPriority} min={-100} max={100} step={1} />}
      {counted.isPending && <Waiting what={t("counting")} />}
      {counted.error && <ProblemNotice error={counted.error} onRetry={() => void counted.refetch()} />}
      {found && (
        <div class="bulk-counts" role="status">
          <p><strong>{found.eligible ? t(WILL[action], { count: found.eligible }) : t("none")}</strong></p>
          {!found.complete && <p>{t("atLeast")}</p>}
          {left.length > 0 && <p>{t("alone")} {left.map(([reason, count]) => t(reason, { count })).join(", ")}</p>}
          {found.eligible > 0 && (action === "cancel" || action === "delete") && <p class="field-hint">{t("undo")}</p>}
        </div>
      )}
      {error !== null && <ProblemNotice error={error} />}
    </Dialog>
  );
}

const OPTIONS: Record<string, string> = { id: "job", olderThan: "older-than", newerThan: "newer-than" };

/** Return the equal command; filters that it lacks are left out. */
function command(action: Action, filter: Partial<Schema<"JobFilter">>): string {
  const options = Object.entries(filter).flatMap(([name, value]) =>
    (Array.isArray(value) ? value : [value]).slice(0, 5).map((each) => ` --${OPTIONS[name] ?? name} '${each}'`));
  return `imagemill jobs bulk ${action}${options.join("")}`;
}
