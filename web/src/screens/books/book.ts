/** One book in the making: read, followed by its own events, and how its parts are called. */
import { useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "preact/hooks";
import { type Schema, api, data } from "~/api/http";
import { queries, refresh } from "~/api/queries";
import { type Translate, useLanguage, useMessages } from "~/app/i18n";
import { ownerQuery, useSession } from "~/app/session";
import type { Call } from "~/parts/copy-as";
import { BACK_COVER, FRONT_COVER, type MadeBook, type MadePage, follow, inLanguage, isOver } from "~/studio/book";
import { messages } from "./messages";

export type { MadeBook, MadePage };
export type Version = Schema<"PageVersion">;
export type Finding = Schema<"PageFinding">;

const FIRST_FILL = 1101;
export const REFERENCE = 0;

/** Read a book, whoever owns it, and follow its events; `progress` is how far each page is. */
export function useBook(id: string) {
  const { owner } = useSession();
  const query = ownerQuery();
  const [progress, setProgress] = useState<Record<number, number>>({});
  const found = useQuery({ queryKey: ["books", "one", id, owner], queryFn: ({ signal }) => data(api.GET("/api/v1/personalizations/{id}", { params: { path: { id }, query }, signal })) });
  const isFollowed = found.data !== undefined && !isOver(found.data);
  useEffect(() => (isFollowed ? follow(id, () => refresh("books"), setProgress, owner) : undefined), [id, owner, isFollowed]);
  return { found, progress };
}

/** Take over the answer of a request that has changed the book. */
export function takeBook(book: MadeBook): void {
  queries.setQueriesData({ queryKey: ["books", "one", book.id] }, book);
  refresh("books");
}

/** Return the query that names the owner of the book, where it is somebody else. */
export function useOwnerOf(book: MadeBook): { owner?: string } {
  const { me } = useSession();
  return me?.owner === book.owner ? {} : { owner: book.owner };
}

/** Return the equal call of an action; commands act for the caller's own books. */
export function callOf(book: MadeBook, owner: { owner?: string }, call: Omit<Call, "path"> & { path?: string }): Call {
  const suffix = owner.owner ? `?owner=${encodeURIComponent(owner.owner)}` : "";
  return { ...call, path: `/api/v1/personalizations/${book.id}${call.path ?? ""}${suffix}`, cli: owner.owner ? undefined : call.cli };
}

/** Return the function that names a page in the reader's language. */
export function usePageName(): (page: number) => string {
  const t = useMessages(messages);
  return (page) => pageName(t, page);
}

function pageName(t: Translate<(typeof messages)["en"]>, page: number): string {
  if (page === REFERENCE) return t("reference");
  if (page === FRONT_COVER) return t("front");
  if (page === BACK_COVER) return t("backCover");
  return page >= FIRST_FILL ? t("fill", { number: page - FIRST_FILL + 1 }) : t("page", { number: page });
}

/** Return the function that writes a title in the reader's language; an ellipsis stands for a name that is not known. */
export function useTitleText(): (title: Record<string, string>, name?: string) => string {
  const language = useLanguage();
  return (title, name = "…") => inLanguage(title, language).replaceAll("{child_name}", name);
}

/** Return what the finding is about, in the reader's language where its kind is known. */
export function useFindingName(): (finding: Finding) => string {
  const t = useMessages(messages);
  return ({ code }) => {
    const key = `code_${code}`;
    return key in messages.en ? t(key as keyof (typeof messages)["en"]) : code;
  };
}

export function currentOf(page: MadePage): Version | undefined {
  return page.versions.find((version) => version.current);
}

export function findingsOf(page: MadePage): Finding[] {
  return currentOf(page)?.findings ?? [];
}

/** Return how much a page asks for a look: those that failed first, then errors, low scores and warnings. */
export function urgency(page: MadePage): number {
  const levels = findingsOf(page).map((finding) => finding.level);
  return (page.state === "failed" ? 8 : 0) + (levels.includes("error") ? 4 : 0) + (page.flagged ? 2 : 0) + (levels.includes("warning") ? 1 : 0);
}

/** Return the covers and pages in the order of the finished book. */
export function inOrder(pages: readonly MadePage[]): MadePage[] {
  const place = ({ page }: MadePage) => (page === FRONT_COVER ? 0 : page === BACK_COVER ? Number.MAX_SAFE_INTEGER : page);
  return [...pages].sort((one, other) => place(one) - place(other));
}
