/** When waiting jobs are expected to start, and what would change if a node were drained. */
import { useQuery } from "@tanstack/react-query";
import { useState } from "preact/hooks";
import { type Schema, api, data } from "~/api/http";
import { ago, duration, useMessages } from "~/app/i18n";
import { ownerQuery, useSession } from "~/app/session";
import { Button } from "~/parts/button";
import { Dialog } from "~/parts/dialog";
import { Select } from "~/parts/field";
import { ProblemNotice, Waiting } from "~/parts/page";
import type { JobRow } from "./jobs";
import { messages } from "./messages";

type QueueForecast = Schema<"QueueForecast">;

export interface Forecast {
  data: QueueForecast | undefined;
  /** Return when the job is expected to start, in words; nothing where it is not known. */
  startOf: (row: JobRow) => string | undefined;
}

function useAnswer(without: string, isEnabled = true) {
  const { owner } = useSession();
  return useQuery({
    queryKey: ["forecast", owner, without],
    queryFn: ({ signal }) => data(api.GET("/api/v1/forecast", { params: { query: { ...ownerQuery(), ...(without ? { without: [without] } : {}) } }, signal })),
    enabled: isEnabled,
    placeholderData: (before) => before,
  });
}

export function useForecast(): Forecast {
  const t = useMessages(messages);
  const found = useAnswer("");
  const starts = new Map(found.data?.items.map((each) => [each.id, each]));
  const startOf = (row: JobRow) => {
    const job = row.status === "queued" || row.status === "waiting" ? starts.get(row.id) : undefined;
    if (!job) return undefined;
    if (!job.startsAt) return t("nowhere");
    const seconds = (new Date(job.startsAt).getTime() - Date.now()) / 1000;
    return seconds < 1 ? t("now") : t("inTime", { time: duration(seconds) });
  };
  return { data: found.data, startOf };
}

/** A question to the forecast: what if a node were drained? */
export function DrainQuestion({ forecast }: { forecast: Forecast }) {
  const t = useMessages(messages);
  const [isOpen, setOpen] = useState(false);
  const [node, setNode] = useState("");
  const nodes = forecast.data?.nodes.map((each) => each.name) ?? [];
  const chosen = node || (nodes[0] ?? "");
  const answer = useAnswer(chosen, isOpen && chosen !== "");
  if (!nodes.length) return null;
  return (
    <>
      <Button kind="quiet" icon="nodes" onClick={() => setOpen(true)}>{t("without")}…</Button>
      <Dialog title={`${t("without")}…`} isOpen={isOpen} onClose={() => setOpen(false)} actions={<Button onClick={() => setOpen(false)}>{t("back")}</Button>}>
        <Select label={t("node")} value={chosen} onChange={setNode} options={nodes.map((name) => ({ value: name, label: name }))} />
        {answer.isPending && <Waiting what={t("columnStarts")} />}
        {answer.error && <ProblemNotice error={answer.error} />}
        {answer.data && <Answer now={forecast.data} then={answer.data} />}
      </Dialog>
    </>
  );
}

function Answer({ now, then }: { now: QueueForecast | undefined; then: QueueForecast }) {
  const t = useMessages(messages);
  const lost = then.items.filter((each) => !each.startsAt).length;
  const words = (forecast: QueueForecast | undefined) => (forecast?.doneAt ? ago(forecast.doneAt) : t("now"));
  return (
    <div role="status">
      <p>{then.doneAt && words(now) !== words(then) ? t("later", { then: words(then), now: words(now) }) : t("doneAt", { then: words(then) })}</p>
      <p>{lost ? t("lose", { count: lost }) : t("loseNone")}</p>
    </div>
  );
}
