/** A book in the making: what it is, where it stands, and its news. */
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { type Schema, api, data } from "~/api/http";

export type MadeBook = Schema<"Personalization">;
export type MadePage = Schema<"PersonalizedPage">;
export type OfferedBook = Schema<"BookSummary">;
export type Bound = Schema<"BoundBody">;
export type Action = MadeBook["allowed"][number];

export const FRONT_COVER = 1001;
export const BACK_COVER = 1002;
export const STEPS = ["photo", "hero", "child", "read", "order", "download"] as const;
export type Step = (typeof STEPS)[number];

/** Return the step at which a book waits for its parent, or for the painter. */
export function stepOf(book: MadeBook): Step {
  switch (book.state) {
    case "reference_generating":
      return "hero";
    case "reference_ready":
      return book.referenceApproved ? "child" : "hero";
    case "preview_generating":
    case "preview_ready":
    case "full_generating":
      return "read";
    case "proof_ready":
      return "order";
    case "completed":
      return "download";
    case "generation_failed":
      return book.child ? "read" : "hero";
    case "canceled":
      return book.child ? "read" : "photo";
    default:
      return "photo";
  }
}

/** Whether a page is one of those that a reader counts: neither a cover nor a spare page for other print shops. */
export function isBound(page: number, bound: Bound | null): boolean {
  return bound ? bound.order.includes(page) : page < FRONT_COVER;
}

/** Whether a step may be opened now. */
export function isOpen(step: Step, book: MadeBook): boolean {
  if (step === "order") return Boolean(book.child) && ["preview_ready", "proof_ready", "completed"].includes(book.state);
  if (step === "read") return Boolean(book.child);
  if (step === "download") return book.state === "completed";
  if (step === "child") return book.state === "reference_ready" && book.referenceApproved;
  if (step === "hero") return stepOf(book) !== "photo";
  return true;
}

export function isPainting(book: MadeBook): boolean {
  return ["pending_analysis", "analyzing", "analyzed", "reference_generating", "preview_generating", "full_generating"].includes(book.state);
}

const EVENTS = [
  "photo.accepted", "analysis.done", "analysis.failed", "reference.ready", "reference.failed", "page.ready", "page.failed", "preview.ready", "unlocked",
  "proof.ready", "proof.failed", "approved", "completed", "print.failed", "canceled", "photo.deleted", "deleted", "deletion.failed",
];
const PAUSE_MS = 200;
const RETRY_MS = 3000;

interface ProgressNews {
  page?: number;
  progress?: number | null;
}

export interface Live {
  book: MadeBook | null;
  problem: unknown;
  /** How far each page is, between 0 and 1, while it is painted. */
  progress: Record<number, number>;
  reload: () => void;
  /** Take over the answer of a request that has changed the book. */
  take: (book: MadeBook) => void;
}

/** Read a book and follow its event stream, which closes in hidden tabs and resumes. */
export function useMadeBook(id: string): Live {
  const [book, setBook] = useState<MadeBook | null>(null);
  const [problem, setProblem] = useState<unknown>(null);
  const [progress, setProgress] = useState<Record<number, number>>({});
  const asked = useRef(0);
  const reload = useCallback(() => {
    const turn = ++asked.current;
    data(api.GET("/api/v1/personalizations/{id}", { params: { path: { id } } })).then(
      (found) => {
        if (turn !== asked.current) return;
        setBook(found);
        setProblem(null);
      },
      (error: unknown) => turn === asked.current && setProblem(error),
    );
  }, [id]);
  const take = useCallback((found: MadeBook) => {
    asked.current += 1;
    setBook(found);
  }, []);
  useEffect(reload, [reload]);
  const isFollowed = book !== null && !isOver(book);
  useEffect(() => (isFollowed ? follow(id, reload, setProgress) : undefined), [id, isFollowed, reload]);
  return { book, problem, progress, reload, take };
}

/** Whether nothing more happens without a request: the photo of a finished book is still to be deleted. */
export function isOver(book: MadeBook): boolean {
  if (book.deletedAt) return Boolean(book.deletion.erasedAt);
  return (book.state === "completed" || book.state === "canceled") && book.photoDeletedAt !== null;
}

/** Follow the events of a book until the returned function is called; `owner` is needed for a book of somebody else. */
export function follow(id: string, onNews: () => void, setProgress: (change: (known: Record<number, number>) => Record<number, number>) => void, owner = ""): () => void {
  let source: EventSource | null = null;
  let lastId = "";
  let due: ReturnType<typeof setTimeout> | undefined;
  let retry: ReturnType<typeof setTimeout> | undefined;
  const close = () => {
    source?.close();
    source = null;
  };
  const open = () => {
    clearTimeout(retry);
    if (source || document.visibilityState === "hidden") return;
    const query = new URLSearchParams({ ...(lastId ? { after: lastId } : {}), ...(owner ? { owner } : {}) });
    source = new EventSource(`/api/v1/personalizations/${encodeURIComponent(id)}/events?${query}`);
    for (const type of EVENTS) source.addEventListener(type, onEvent);
    source.addEventListener("progress", onProgress);
    source.addEventListener("error", () => {
      close();
      onNews();
      retry = setTimeout(open, RETRY_MS);
    });
  };
  const onEvent = (event: Event) => {
    lastId = (event as MessageEvent<string>).lastEventId || lastId;
    due ??= setTimeout(() => {
      due = undefined;
      onNews();
    }, PAUSE_MS);
  };
  const onProgress = (event: Event) => {
    const { page, progress } = JSON.parse((event as MessageEvent<string>).data) as ProgressNews;
    if (page !== undefined && typeof progress === "number") setProgress((known) => ({ ...known, [page]: progress }));
  };
  const onVisible = () => {
    if (document.visibilityState === "hidden") return close();
    onNews();
    open();
  };
  document.addEventListener("visibilitychange", onVisible);
  open();
  return () => {
    document.removeEventListener("visibilitychange", onVisible);
    clearTimeout(due);
    clearTimeout(retry);
    close();
  };
}

/** Read a book of the catalogue; null while it is read, or when it is offered no more. */
export function useOfferedBook(slug: string | undefined): OfferedBook | null {
  const [book, setBook] = useState<OfferedBook | null>(null);
  useEffect(() => {
    if (!slug) return;
    data(api.GET("/api/v1/books/{slug}", { params: { path: { slug } } })).then(setBook, () => setBook(null));
  }, [slug]);
  return book;
}

/** Return the text in the reader's language, else in English, else in any. */
export function inLanguage(texts: Record<string, string>, language: string): string {
  return texts[language] ?? texts.en ?? Object.values(texts)[0] ?? "";
}
