/** The first steps that are still to do. It closes itself once all are done. */
import { useQuery } from "@tanstack/react-query";
import { Link } from "wouter-preact";
import { type Schema, api, data } from "~/api/http";
import { useMessages } from "~/app/i18n";
import { messages as names } from "~/app/messages";
import { usePreference } from "~/app/state";
import { IconButton } from "~/parts/button";
import { Icon } from "~/parts/icon";
import { messages } from "~/screens/start/messages";
import "./checklist.css";

const PATHS = { picture: "/", node: "/start", workflow: "/workflows", key: "/people", webhook: "/webhooks" } as const;

/** Return the first steps of the caller, once they are read. */
export function useChecklist(isWanted: boolean): Schema<"FirstStep">[] | undefined {
  const found = useQuery({ queryKey: ["artifacts", "checklist"], queryFn: ({ signal }) => data(api.GET("/api/v1/checklist", { signal })), enabled: isWanted });
  return found.data?.items;
}

export function Checklist() {
  const t = useMessages(messages);
  const n = useMessages(names);
  const [isHidden, setHidden] = usePreference("checklist.hidden", false);
  const steps = useChecklist(!isHidden);
  if (isHidden || !steps || steps.every((step) => step.done)) return null;
  return (
    <section class="checklist" aria-label={t("checklist")}>
      <header>
        <Link href="/start">{n("start")}</Link>
        <span>{t("progress", { done: steps.filter((step) => step.done).length, count: steps.length })}</span>
        <IconButton icon="close" label={t("hide")} onClick={() => setHidden(true)} />
      </header>
      <ul>
        {steps.map((step) => (
          <li key={step.name} data-done={step.done}>
            <Icon name={step.done ? "check" : "right"} />
            {step.done ? <span>{t(step.name)}</span> : <Link href={PATHS[step.name]}>{t(step.name)}</Link>}
            <span class="visually-hidden">{step.done ? t("done") : t("open")}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}
