/**
 * The one event stream of the page: `GET /api/v1/events`.
 *
 * It is open while somebody listens and the tab is visible; hidden tabs have none. After a break it resumes by the
 * number of the last frame, or says `reset`, and then every query is read again.
 */
import { useEffect, useRef, useSyncExternalStore } from "preact/compat";

export interface JobNews {
  id: string;
  owner: string;
  seq: number;
  type: string;
  status: string;
  recipe: string;
  at: string;
}

export interface ProgressNews {
  id: string;
  step: number;
  total: number;
  progress: number;
  note: string;
  preview?: string;
}

export interface FeedListener {
  jobs?: (news: JobNews[]) => void;
  progress?: (news: ProgressNews[]) => void;
  /** A list has changed: pauses, operations or nodes. */
  changed?: (what: "pauses" | "operations" | "nodes") => void;
  /** Events were missed: read again what is shown. */
  reset?: () => void;
}

export type FeedState = "closed" | "connecting" | "live" | "lost";

const RETRY_MS = 2000;
/** A feed that was open for this long has ended as planned: it is opened again at once. */
const PLANNED_MS = 60_000;
const listeners = new Set<FeedListener>();
const stateListeners = new Set<() => void>();
let source: EventSource | null = null;
let state: FeedState = "closed";
let owner = "";
let lastId = "";
let retry: ReturnType<typeof setTimeout> | undefined;

/** Follow the jobs of this owner (`*` for all owners, empty for the caller's own). */
export function setFeedOwner(name: string): void {
  if (name === owner) return;
  owner = name;
  lastId = "";
  close();
  open();
}

function setState(next: FeedState): void {
  if (state === next) return;
  state = next;
  for (const listener of stateListeners) listener();
}

function address(): string {
  const query = new URLSearchParams({ previews: "true" });
  if (owner) query.set("owner", owner);
  // EventSource sends the last id only when it reconnects by itself.
  if (lastId) query.set("after", lastId);
  return `/api/v1/events?${query}`;
}

function open(): void {
  if (source || !listeners.size || document.visibilityState === "hidden") return;
  clearTimeout(retry);
  setState("connecting");
  const opened = new EventSource(address());
  source = opened;
  let since = Infinity;
  opened.addEventListener("open", () => {
    since = Date.now();
    setState("live");
  });
  opened.addEventListener("error", () => {
    close();
    if (Date.now() - since > PLANNED_MS) return open();
    setState("lost");
    retry = setTimeout(open, RETRY_MS);
  });
  opened.addEventListener("jobs", (event) => tell(event, (each, body) => each.jobs?.((body as { jobs: JobNews[] }).jobs)));
  opened.addEventListener("progress", (event) =>
    tell(event, (each, body) => each.progress?.((body as { progress: ProgressNews[] }).progress)),
  );
  opened.addEventListener("reset", (event) => tell(event, (each) => each.reset?.()));
  for (const what of ["pauses", "operations", "nodes"] as const) {
    opened.addEventListener(what, (event) => tell(event, (each) => each.changed?.(what)));
  }
}

function tell(event: Event, call: (listener: FeedListener, body: unknown) => void): void {
  const message = event as MessageEvent<string>;
  if (message.lastEventId) lastId = message.lastEventId;
  const body: unknown = JSON.parse(message.data || "{}");
  for (const listener of [...listeners]) call(listener, body);
}

function close(): void {
  clearTimeout(retry);
  source?.close();
  source = null;
  setState("closed");
}

document.addEventListener("visibilitychange", () => (document.visibilityState === "hidden" ? close() : open()));
addEventListener("pagehide", close);
addEventListener("online", open);

/** Receive news until the returned function is called. */
export function listen(listener: FeedListener): () => void {
  listeners.add(listener);
  open();
  return () => {
    listeners.delete(listener);
    if (!listeners.size) close();
  };
}

/** Receive news while the component is shown; the newest listener is called. */
export function useFeed(listener: FeedListener): void {
  const current = useRef(listener);
  current.current = listener;
  useEffect(
    () =>
      listen({
        jobs: (news) => current.current.jobs?.(news),
        progress: (news) => current.current.progress?.(news),
        changed: (what) => current.current.changed?.(what),
        reset: () => current.current.reset?.(),
      }),
    [],
  );
}

/** Return whether news arrive. */
export function useFeedState(): FeedState {
  return useSyncExternalStore(
    (listener) => {
      stateListeners.add(listener);
      return () => stateListeners.delete(listener);
    },
    () => state,
  );
}
