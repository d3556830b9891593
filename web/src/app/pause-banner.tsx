/** What is paused, on every page: by whom, why, and since when. */
import { useQuery } from "@tanstack/react-query";
import { type Schema, api, data } from "~/api/http";
import { refresh } from "~/api/queries";
import { Button } from "~/parts/button";
import { Notice } from "~/parts/page";
import { ago, defineMessages, useMessages } from "./i18n";
import { may } from "./session";
import { toast } from "./toasts";

export type Pause = Schema<"PauseBody">;

const messages = defineMessages({
  en: {
    all: "All jobs are paused", owner: "Jobs of {name} are paused", recipe: "{name} jobs are paused", node: "The node {name} is paused", by: "by {by}, {ago}",
    resume: "Continue", resumed: "{what}: it continues", more: { one: "and {count} more pause", other: "and {count} more pauses" },
  },
  pt: {
    all: "Todas as tarefas estão em pausa", owner: "As tarefas de {name} estão em pausa", recipe: "As tarefas {name} estão em pausa", node: "O nó {name} está em pausa", by: "por {by}, {ago}",
    resume: "Continuar", resumed: "{what}: continua agora", more: { one: "e mais {count} pausa", other: "e mais {count} pausas" },
  },
  es: {
    all: "Todos los trabajos están en pausa", owner: "Los trabajos de {name} están en pausa", recipe: "Los trabajos {name} están en pausa", node: "El nodo {name} está en pausa", by: "por {by}, {ago}",
    resume: "Continuar", resumed: "{what}: continúa ahora", more: { one: "y {count} pausa más", other: "y {count} pausas más" },
  },
  uk: {
    all: "Усі завдання призупинено", owner: "Завдання власника {name} призупинено", recipe: "Завдання {name} призупинено", node: "Вузол {name} призупинено", by: "{by}, {ago}",
    resume: "Продовжити", resumed: "{what}: роботу продовжено", more: { one: "і ще {count} пауза", few: "і ще {count} паузи", many: "і ще {count} пауз", other: "і ще {count} паузи" },
  },
});

const SHOWN = 2;

export function usePauses(): Pause[] {
  const found = useQuery({ queryKey: ["pauses"], queryFn: ({ signal }) => data(api.GET("/api/v1/pauses", { signal })), staleTime: 60_000 });
  return found.data?.items ?? [];
}

/** Return the function that says what a pause pauses. */
export function usePauseName(): (pause: Pause) => string {
  const t = useMessages(messages);
  return (pause) => t(pause.scope, { name: pause.name });
}

/** Return the function that removes a pause and says so. */
export function useResume(): (pause: Pause) => Promise<void> {
  const t = useMessages(messages);
  const name = usePauseName();
  return async (pause) => {
    try {
      await data(api.DELETE("/api/v1/pauses/{pause_id}", { params: { path: { pause_id: pause.id } } }));
      toast({ text: t("resumed", { what: name(pause) }), tone: "good" });
    } catch (error) {
      toast({ text: error instanceof Error ? error.message : String(error), tone: "bad" });
    }
    refresh("pauses", "jobs", "counts");
  };
}

export function PauseBanner() {
  const t = useMessages(messages);
  const name = usePauseName();
  const resume = useResume();
  const pauses = usePauses();
  if (!pauses.length) return null;
  return (
    <div class="banner">
      {pauses.slice(0, SHOWN).map((pause) => (
        <Notice key={pause.id} tone="warn" actions={may("nodes:write") && <Button icon="play" onClick={() => void resume(pause)}>{t("resume")}</Button>}>
          <p>
            <strong>{name(pause)}</strong> {t("by", { by: pause.by, ago: ago(pause.since) })}
            {pause.reason && `: ${pause.reason}`}
          </p>
        </Notice>
      ))}
      {pauses.length > SHOWN && <p class="banner-more">{t("more", { count: pauses.length - SHOWN })}</p>}
    </div>
  );
}
