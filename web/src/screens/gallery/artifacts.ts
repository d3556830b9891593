/** The pictures of the gallery: page after page, with new ones at the top as they are made. */
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { useFeed } from "~/api/feed";
import { type Schema, api, data } from "~/api/http";
import { ownerQuery } from "~/app/session";
import { type Word, parseWords } from "~/parts/filter-words";

export type Artifact = Schema<"GalleryArtifact">;
/** What a tile needs; addresses and digests of 100,000 pictures would fill the memory. */
export type Shown = Pick<Artifact, "id" | "job" | "owner" | "mediaType" | "width" | "height" | "size" | "seed" | "recipe" | "prompt" | "rating" | "createdAt" | "available">;

/** The words of a filter that the gallery knows. */
export const KNOWN = ["model", "recipe", "node", "job", "batch", "character", "type", "rating", "newer", "older"] as const satisfies readonly Word[];
export type Sort = "newest" | "rating";

const PAGE = 100;
/** Pages after the first are larger: fewer requests while the reader scrolls far. */
const FURTHER = 200;
const PAUSE_MS = 500;

export interface Query {
  text: string;
  sort: Sort;
  owner: string;
}

/** Return the parameters of the list for a filter in words. */
export function parameters({ text, sort }: Pick<Query, "text" | "sort">) {
  const { words, text: rest } = parseWords(text);
  const rating = Number(words.rating?.[0] ?? 0);
  return {
    ...(rest ? { text: rest } : {}),
    ...(words.model ? { model: words.model } : {}),
    ...(words.recipe ? { recipe: words.recipe } : {}),
    ...(words.node ? { node: words.node } : {}),
    ...(words.job ? { job: words.job } : {}),
    ...(words.batch ? { batch: words.batch } : {}),
    ...(words.character ? { character: words.character[0] } : {}),
    ...(words.type ? { type: words.type } : {}),
    ...(words.newer ? { from: words.newer[0] } : {}),
    ...(words.older ? { to: words.older[0] } : {}),
    ...(rating ? { rating } : {}),
    ...(sort === "rating" ? { sort } : {}),
  };
}

/** Return the words of a filter that the gallery does not know. */
export function unknownWords(text: string): string[] {
  return Object.keys(parseWords(text).words).filter((word) => !(KNOWN as readonly string[]).includes(word));
}

function slim({ id, job, owner, mediaType, width, height, size, seed, recipe, prompt, rating, createdAt, available }: Artifact): Shown {
  return { id, job, owner, mediaType, width, height, size, seed, recipe, prompt, rating, createdAt, available };
}

async function page(query: Query, cursor: string | null, signal?: AbortSignal) {
  const asked = { limit: cursor ? FURTHER : PAGE, ...parameters(query), ...(cursor ? { cursor } : {}), ...ownerQuery() };
  const found = await data(api.GET("/api/v1/artifacts", { params: { query: asked }, signal }));
  return { ...found, items: found.items.map(slim) };
}

interface State {
  items: Shown[];
  /** The cursor of the next page; null on the last. */
  next: string | null;
  searchedTo: string | null;
  isFirstLoaded: boolean;
  error: unknown;
}

const NOTHING: State = { items: [], next: null, searchedTo: null, isFirstLoaded: false, error: null };

export interface Artifacts extends State {
  /** Read the next page, if there is one and none is being read. */
  more: () => void;
  retry: () => void;
  /** Change what is shown of some artifacts, or leave them out by returning null. */
  change: (ids: ReadonlySet<string>, change: (item: Shown) => Shown | null) => void;
  /** Show these items, as they were before a change. */
  restore: (items: Shown[]) => void;
}

export function useArtifacts(query: Query): Artifacts {
  const key = JSON.stringify(query);
  const [state, setState] = useState<State>(NOTHING);
  const current = useRef({ key, state, isLoading: false, abort: new AbortController() });
  const set = useCallback((next: Partial<State>) => {
    current.current.state = { ...current.current.state, ...next };
    setState(current.current.state);
  }, []);
  const load = useCallback(
    async (cursor: string | null) => {
      const now = current.current;
      if (now.isLoading) return;
      now.isLoading = true;
      const { signal } = now.abort;
      try {
        const found = await page(query, cursor, signal);
        if (signal.aborted) return;
        const before = cursor === null ? [] : current.current.state.items;
        set({ items: before.length ? [...before, ...found.items] : found.items, next: found.next, searchedTo: found.searchedTo, isFirstLoaded: true, error: null });
      } catch (error) {
        if (!signal.aborted) set({ error, isFirstLoaded: true });
      } finally {
        if (!signal.aborted) now.isLoading = false;
      }
    },
    [key],
  );
  useEffect(() => {
    // The pictures of the filter before stay until the first page of this one is there.
    current.current = { key, state: { ...current.current.state, next: null, error: null }, isLoading: false, abort: new AbortController() };
    void load(null);
    return () => current.current.abort.abort();
  }, [key]);
  useNews(() => (query.sort === "newest" ? refreshTop(query, current.current, set) : undefined));
  const more = useCallback(() => {
    const { next, error } = current.current.state;
    if (next !== null && !error) void load(next);
  }, [load]);
  const change = useCallback(
    (ids: ReadonlySet<string>, edit: (item: Shown) => Shown | null) =>
      set({ items: current.current.state.items.flatMap((item) => (ids.has(item.id) ? (edit(item) ?? []) : item)) }),
    [set],
  );
  const restore = useCallback((items: Shown[]) => set({ items: merged(current.current.state.items, items) }), [set]);
  const retry = useCallback(() => {
    set({ error: null });
    void load(current.current.state.next);
  }, [load, set]);
  return { ...state, more, retry, change, restore };
}

async function refreshTop(query: Query, now: { state: State; abort: AbortController }, set: (next: Partial<State>) => void) {
  const { signal } = now.abort;
  try {
    const found = await page(query, null, signal);
    if (signal.aborted) return;
    const known = new Set(now.state.items.map((item) => item.id));
    const fresh = found.items.filter((item) => !known.has(item.id));
    if (!fresh.length) return;
    // More than a page is new: what is between is read again as the reader scrolls.
    if (fresh.length === found.items.length) set({ items: found.items, next: found.next, searchedTo: found.searchedTo });
    else set({ items: merged(now.state.items, fresh) });
  } catch {
    // The next event tries again; what is shown stays.
  }
}

/** Return both without doubles, newest first. */
function merged(items: Shown[], others: Shown[]): Shown[] {
  const known = new Set(items.map((item) => item.id));
  const fresh = others.filter((item) => !known.has(item.id));
  if (!fresh.length) return items;
  return [...fresh, ...items].sort((a, b) => (a.createdAt < b.createdAt ? 1 : a.createdAt > b.createdAt ? -1 : a.id < b.id ? 1 : -1));
}

/** Call back a moment after pictures were made, or after events were missed. */
function useNews(callback: () => unknown) {
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const latest = useRef(callback);
  latest.current = callback;
  const soon = () => {
    timer.current ??= setTimeout(() => {
      timer.current = undefined;
      latest.current();
    }, PAUSE_MS);
  };
  useFeed({ jobs: (news) => news.some((each) => each.status === "succeeded") && soon(), reset: soon });
  useEffect(() => () => clearTimeout(timer.current), []);
}

/** Return the address of a thumbnail; it is the same for everybody who may see it. */
export function thumbnailOf(id: string, width: 128 | 256 | 512): string {
  const { owner } = ownerQuery();
  return `/api/v1/artifacts/${id}/thumbnail?width=${width}${owner ? `&owner=${encodeURIComponent(owner)}` : ""}`;
}

/** Return an address of the API as one of this page's own server. */
export function local(url: string): string {
  const { pathname, search } = new URL(url, location.origin);
  return pathname + search;
}
