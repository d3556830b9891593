/** The rows of the queue: pages of the list of jobs, kept fresh by the feed without reading them all again. */
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { type JobNews, type ProgressNews, useFeed } from "~/api/feed";
import { type Schema, api, data } from "~/api/http";
import { useSession } from "~/app/session";
import { type JobFilter, jobQuery } from "~/parts/job-filter";

type Job = Schema<"JobBody">;

/** What a row shows of a job; the rest of it is not kept, as there may be a hundred thousand. */
export interface JobRow {
  id: string;
  status: Job["status"];
  owner: string;
  recipe: string;
  prompt: string;
  model: string;
  node: string;
  batch: string;
  character: string;
  book: string;
  createdAt: string;
  attempt: number;
  maxFailures: number;
  priority: number;
  replays: number;
  replayOf: string;
  waits: string;
  error: string;
  errorCode: string;
  artifact: string;
}

const text = (value: unknown) => (typeof value === "string" ? value : "");

export function rowOf(job: Job): JobRow {
  const input = job.input as Record<string, unknown>;
  const values = (typeof input.values === "object" && input.values !== null ? input.values : input) as Record<string, unknown>;
  const model = text(values.model_path) || text(values.model) || text(values.checkpoint);
  return {
    id: job.id,
    status: job.status,
    owner: job.owner,
    recipe: job.recipe,
    prompt: text(values.prompt) || (job.name ?? ""),
    model: model.split(/[\\/]/).pop() ?? "",
    node: job.node ?? "",
    batch: job.batch,
    character: text(input.character_id),
    book: text(input.personalization),
    createdAt: job.createdAt,
    attempt: job.attempt,
    maxFailures: job.maxFailures,
    priority: job.priority,
    replays: job.replays,
    replayOf: job.replayOf ?? "",
    waits: job.waits ?? "",
    error: job.error?.message ?? "",
    errorCode: job.error?.code ?? "",
    artifact: job.artifacts.find((each) => each.available)?.id ?? "",
  };
}

const FIRST_PAGE = 60;
const PAGE = 500;
const FRESH_MS = 400;
const MOST_IDS = 100;
/** A list that grows by new jobs is cut to its first page here, while the reader is at its start. */
const MOST_AT_START = 1000;

interface Rows {
  rows: JobRow[];
  next: string | null;
  isLoading: boolean;
  error: unknown;
}

async function page(filter: string, limit: number, cursor: string | null, more: JobFilter = {}): Promise<{ rows: JobRow[]; next: string | null }> {
  const query = { ...jobQuery(filter), ...more, limit, ...(cursor ? { cursor } : {}) };
  const found = await data(api.GET("/api/v1/jobs", { params: { query } }));
  return { rows: found.items.map(rowOf), next: found.next };
}

export interface JobRows extends Rows {
  /** Read the next page. */
  more: () => void;
  /** Note whether the reader is at the start of the list. */
  start: (isAtStart: boolean) => void;
  /** Read from the start. */
  reload: () => void;
  /** Read these jobs again, as an action has changed them. */
  freshen: (ids: readonly string[]) => void;
  progress: ReadonlyMap<string, ProgressNews>;
}

/** Read the jobs of a filter in words, newest first. */
export function useJobRows(filter: string): JobRows {
  const { owner } = useSession();
  const [found, setFound] = useState<Rows>({ rows: [], next: null, isLoading: true, error: null });
  const [progress, setProgress] = useState<ReadonlyMap<string, ProgressNews>>(new Map());
  const turn = useRef(0);
  const current = useRef(found);
  current.current = found;
  const busy = useRef(false);
  const isAtStart = useRef(true);
  /** Whether there are more new jobs than were read, as the reader is further down. */
  const isBehind = useRef(false);

  const reload = useCallback(async () => {
    const mine = ++turn.current;
    busy.current = true;
    isBehind.current = false;
    setFound((before) => ({ ...before, isLoading: true, error: null }));
    try {
      const first = await page(filter, FIRST_PAGE, null);
      if (mine === turn.current) setFound({ ...first, isLoading: false, error: null });
    } catch (error) {
      if (mine === turn.current) setFound((before) => ({ ...before, isLoading: false, error }));
    } finally {
      if (mine === turn.current) busy.current = false;
    }
  }, [filter, owner]);

  const more = useCallback(async () => {
    const { next } = current.current;
    if (busy.current || next === null) return;
    const mine = turn.current;
    busy.current = true;
    try {
      const further = await page(filter, PAGE, next);
      if (mine === turn.current) setFound((before) => ({ ...before, rows: before.rows.concat(further.rows), next: further.next }));
    } catch (error) {
      if (mine === turn.current) setFound((before) => ({ ...before, error }));
    } finally {
      if (mine === turn.current) busy.current = false;
    }
  }, [filter, owner]);

  useEffect(() => {
    void reload();
  }, [reload]);

  const changed = useRef(new Set<string>());
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  useEffect(() => () => clearTimeout(timer.current), []);

  const freshen = useCallback(async () => {
    timer.current = undefined;
    const ids = new Set(changed.current);
    changed.current.clear();
    const mine = turn.current;
    const known = new Set(current.current.rows.map((row) => row.id));
    const asked = [...ids].filter((id) => known.has(id)).slice(0, MOST_IDS);
    const hasNew = [...ids].some((id) => !known.has(id) && id > (current.current.rows[0]?.id ?? ""));
    // A filter by ids names its jobs already; the changed ones are read without it.
    const [again, top] = await Promise.all([
      asked.length ? page(filter, MOST_IDS, null, { id: asked }) : null,
      hasNew ? page(filter, FIRST_PAGE, null) : null,
    ]).catch(() => [null, null]);
    if (mine !== turn.current) return;
    const apart = top !== null && isApart(current.current.rows, top.rows);
    if (top && isAtStart.current && (apart || current.current.rows.length > MOST_AT_START)) {
      turn.current++;
      busy.current = false;
      setFound({ ...top, isLoading: false, error: null });
      return;
    }
    if (apart) isBehind.current = true;
    const added = top && !apart ? top.rows : [];
    setFound((before) => merged(before, again ? new Set(asked) : new Set(), again?.rows ?? [], added));
  }, [filter, owner]);

  const note = useCallback(
    (ids: readonly string[]) => {
      for (const id of ids) changed.current.add(id);
      timer.current ??= setTimeout(() => void freshen(), FRESH_MS);
    },
    [freshen],
  );

  useFeed({
    jobs: (news: JobNews[]) => {
      setFound((before) => withStatuses(before, news));
      note(news.map((each) => each.id));
    },
    progress: (news) => setProgress((before) => new Map([...before, ...news.map((each) => [each.id, each] as const)].slice(-200))),
    changed: (what) => what === "pauses" && void reload(),
    reset: () => void reload(),
  });
  const start = useCallback(
    (isThere: boolean) => {
      isAtStart.current = isThere;
      if (isThere && isBehind.current) void reload();
    },
    [reload],
  );
  return { ...found, start, more: () => void more(), reload: () => void reload(), freshen: note, progress };
}

/** Return the rows with the states that the feed names; the rest of a job is read a moment later. */
function withStatuses(before: Rows, news: readonly JobNews[]): Rows {
  const statuses = new Map(news.map((each) => [each.id, each.status as JobRow["status"]]));
  const differs = (row: JobRow) => (statuses.get(row.id) ?? row.status) !== row.status;
  if (!before.rows.some(differs)) return before;
  return { ...before, rows: before.rows.map((row) => (differs(row) ? { ...row, status: statuses.get(row.id) ?? row.status } : row)) };
}

/** Whether there are jobs between the newest page and the rows. */
function isApart(rows: readonly JobRow[], top: readonly JobRow[]): boolean {
  const first = rows[0]?.id, last = top[top.length - 1]?.id;
  return first !== undefined && last !== undefined && top.length === FIRST_PAGE && last > first;
}

/** Return the rows with these read again: those that no longer match are gone, and new ones stand first. */
function merged(before: Rows, asked: ReadonlySet<string>, again: readonly JobRow[], top: readonly JobRow[]): Rows {
  const fresh = new Map(again.map((row) => [row.id, row]));
  const kept = before.rows.filter((row) => !asked.has(row.id) || fresh.has(row.id)).map((row) => fresh.get(row.id) ?? row);
  const known = new Set(kept.map((row) => row.id));
  const first = kept[0]?.id ?? "";
  const added = top.filter((row) => !known.has(row.id) && row.id > first);
  return { ...before, rows: added.length ? [...added, ...kept] : kept };
}
