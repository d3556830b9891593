/** A book that somebody shared: to be read, and nothing else. */
import { useEffect, useState } from "preact/hooks";
import { useLocation, useSearch } from "wouter-preact";
import { type Schema, api, data } from "~/api/http";
import { useLanguage, useMessages } from "~/app/i18n";
import { inLanguage } from "./book";
import { facesOf } from "./faces";
import { FlipBook } from "./flip";
import { madeMessages } from "./made-messages";
import { messages } from "./messages";
import { Trouble, useTitle } from "./parts";
import { sizeOf } from "./read-step";

export function SharedBookPage({ token }: { token: string }) {
  const t = useMessages(messages);
  const m = useMessages(madeMessages);
  const language = useLanguage();
  const [, navigate] = useLocation();
  const at = new URLSearchParams(useSearch()).get("page") ?? "front";
  const [book, setBook] = useState<Schema<"SharedBook"> | null>(null);
  const [problem, setProblem] = useState<unknown>(null);
  const load = () => {
    setProblem(null);
    data(api.GET("/api/v1/shared-books/{token}", { params: { path: { token } } })).then(setBook, setProblem);
  };
  useEffect(load, [token]);
  const title = book ? inLanguage(book.title, book.language || language) : t("brand");
  useTitle(title);
  if (problem) return <Trouble error={problem} onRetry={load} />;
  if (!book) return null;
  const faces = facesOf({ bound: book.bound, pages: book.pages, isWhole: book.isWhole, frontUrl: book.coverUrl ?? undefined });
  return (
    <section class="studio-read">
      <h1>{title}</h1>
      <FlipBook title={title} faces={faces} at={at} onTurn={(key) => navigate(`?page=${key}`, { replace: true })} bound={book.bound} />
      {book.bound && <p class="studio-size soft">{m("size", sizeOf(book.bound))}</p>}
    </section>
  );
}
