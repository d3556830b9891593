/** The numbers of jobs by status; each is a filter. */
import { useQuery } from "@tanstack/react-query";
import { type Schema, api, data } from "~/api/http";
import { number, useMessages } from "~/app/i18n";
import { ownerQuery, useSession } from "~/app/session";
import { parseWords, withWord } from "~/parts/filter-words";
import { jobQuery } from "~/parts/job-filter";
import { STATUSES, useStatusName } from "~/parts/status";
import { messages } from "./messages";

export type Groups = Schema<"JobGroups">;

/** Count the jobs of a filter in words. */
export function useCounts(filter: string, by: "status" | "recipe" | "model"): Groups | undefined {
  const { owner } = useSession();
  const found = useQuery({
    queryKey: ["counts", owner, by, filter],
    queryFn: ({ signal }) => data(api.GET("/api/v1/jobs/counts", { params: { query: { ...jobQuery(filter), by } }, signal })),
    placeholderData: (before) => before,
  });
  return found.data;
}

const KNOWN_MS = 60_000;

/** Return the owners, recipes, models, nodes or errors of all jobs; they are not followed live. */
export function useKeys(by: "owner" | "recipe" | "model" | "node" | "error", isEnabled = true): string[] {
  const { owner } = useSession();
  const found = useQuery({
    queryKey: ["keys", owner, by],
    queryFn: ({ signal }) => data(api.GET("/api/v1/jobs/counts", { params: { query: { ...ownerQuery(), by } }, signal })),
    enabled: isEnabled,
    staleTime: KNOWN_MS,
  });
  return found.data?.items.map((each) => each.key).filter(Boolean) ?? [];
}

/** Return the number of jobs of a filter, or null where not all were counted. */
export function totalOf(groups: Groups | undefined): number | null {
  return groups?.complete ? groups.items.reduce((sum, each) => sum + each.count, 0) : null;
}

export function StatusCounts({ filter, onChange }: { filter: string; onChange: (filter: string) => void }) {
  const t = useMessages(messages);
  const name = useStatusName();
  const groups = useCounts(withWord(filter, "status"), "status");
  const counts = new Map(groups?.items.map((each) => [each.key, each.count]));
  const chosen = parseWords(filter).words.status ?? [];
  const least = groups && !groups.complete ? "+" : "";
  const total = [...counts.values()].reduce((sum, each) => sum + each, 0);
  return (
    <div class="queue-counts" role="group" aria-label={t("jobs")}>
      <button type="button" aria-pressed={!chosen.length} onClick={() => onChange(withWord(filter, "status"))}>
        <span>{t("all")}</span>
        <strong>{groups ? number(total) + least : ""}</strong>
      </button>
      {STATUSES.map((status) => (
        <button key={status} type="button" aria-pressed={chosen.includes(status)} class={`queue-count-${status}`}
          onClick={() => onChange(withWord(filter, "status", ...(chosen.length === 1 && chosen[0] === status ? [] : [status])))}>
          <span>{name(status)}</span>
          <strong>{groups ? number(counts.get(status) ?? 0) + (counts.has(status) ? least : "") : ""}</strong>
        </button>
      ))}
    </div>
  );
}
