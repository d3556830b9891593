/** The cache of answers, and how the feed keeps it fresh. */
import { QueryClient } from "@tanstack/react-query";
import { type JobNews, listen } from "./feed";
import { Problem } from "./http";

export const queries = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 10_000,
      refetchOnWindowFocus: true,
      retry: (count, error) => count < 2 && error instanceof Problem && (error.status === 0 || error.status >= 500),
    },
    mutations: { retry: false },
  },
});

/** The first part of a query's key is what it reads, as here, so that events find it. */
export type Subject =
  | "jobs"
  | "job"
  | "counts"
  | "artifacts"
  | "nodes"
  | "models"
  | "workflows"
  | "pauses"
  | "operations"
  | "webhooks"
  | "stats"
  | "credits"
  | "books"
  | "characters"
  | "library"
  | "forecast"
  | "me";

const PAUSE_MS = 400;
/** The server reads more for these. */
const LONG_PAUSE_MS = 2000;
const costly: ReadonlySet<Subject> = new Set(["forecast", "stats"] as const);
const due = new Map<number, Set<string>>();

/** Read the shown queries of these subjects again, at most every 400 ms (costly ones: 2 s) however many events arrive. */
export function refresh(...subjects: Subject[]): void {
  for (const subject of subjects) {
    const pause = costly.has(subject) ? LONG_PAUSE_MS : PAUSE_MS;
    const waiting = due.get(pause);
    if (waiting) waiting.add(subject);
    else {
      due.set(pause, new Set([subject]));
      setTimeout(readAgain, pause, pause);
    }
  }
}

function readAgain(pause: number): void {
  const now = due.get(pause);
  due.delete(pause);
  void queries.invalidateQueries({ predicate: ({ queryKey }) => now?.has(String(queryKey[0])) ?? false });
}

const finished = new Set(["succeeded", "failed", "canceled", "expired"]);

/** Whether a job in this state changes no more. */
export function isFinished(status: string): boolean {
  return finished.has(status);
}

function onJobs(news: JobNews[]): void {
  refresh("counts", "jobs", "forecast");
  if (news.some((each) => each.status === "succeeded")) refresh("artifacts", "credits");
  for (const each of news) void queries.invalidateQueries({ queryKey: ["job", each.id] });
}

/** Keep the cache fresh from the feed until the returned function is called. */
export function startLiveQueries(): () => void {
  return listen({
    jobs: onJobs,
    changed: (what) => refresh(what),
    reset: () => void queries.invalidateQueries(),
  });
}
