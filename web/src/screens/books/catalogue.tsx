/** The books that are offered, and those whose newest version has problems. */
import { useQuery } from "@tanstack/react-query";
import { Link } from "wouter-preact";
import { type Schema, api, data } from "~/api/http";
import { number, useMessages } from "~/app/i18n";
import { Empty, Notice, ProblemNotice, Waiting } from "~/parts/page";
import { Picture } from "~/parts/picture";
import { useTitleText } from "./book";
import { messages } from "./messages";

const MOST = 200;

/** Read the books of the catalogue. */
export function useCatalogue() {
  return useQuery({ queryKey: ["books", "catalogue"], queryFn: ({ signal }) => data(api.GET("/api/v1/books", { params: { query: { limit: MOST } }, signal })) });
}

export function Catalogue() {
  const t = useMessages(messages);
  const found = useCatalogue();
  const { items = [], refused = [] } = found.data ?? {};
  return (
    <>
      {found.error && <ProblemNotice error={found.error} onRetry={() => void found.refetch()} />}
      {found.isPending && <Waiting what={t("catalogue")} />}
      {refused.map(({ book, problems }) => (
        <Notice key={book} tone="warn">
          <p>{t("refused", { book, count: problems.length })}</p>
          <ul>{problems.map((problem) => <li key={problem}>{problem}</li>)}</ul>
          <p><code>imagemill books check {book}</code></p>
        </Notice>
      ))}
      {found.data && !items.length && <Empty icon="books" title={t("noBooks")}><p>{t("noBooksHint")}</p></Empty>}
      <ul class="books-catalogue">
        {items.map((book) => <OfferedBook key={book.slug} book={book} isRefused={refused.some((each) => each.book === book.slug)} />)}
      </ul>
    </>
  );
}

function OfferedBook({ book, isRefused }: { book: Schema<"BookSummary">; isRefused: boolean }) {
  const t = useMessages(messages);
  const title = useTitleText()(book.title);
  const { page, book: files } = book.price;
  const price = page === null && files === null ? t("priceRecipe") : t("priceOf", { page: page === null ? "–" : number(page), book: files === null ? "–" : number(files) });
  return (
    <li class="card books-offer">
      <Picture src={book.coverUrl} alt={t("cover", { title })} />
      <div>
        <h2>{title}</h2>
        <p class="soft small"><code>{book.slug}</code></p>
        <dl class="books-facts">
          <div><dt>{t("pages")}</dt><dd>{t("size", { count: book.pages, faces: book.pagesWithFace, preview: book.previewPages })}</dd></div>
          <div><dt>{t("languages")}</dt><dd>{book.languages.join(", ")}</dd></div>
          <div><dt>{t("profile")}</dt><dd>{book.profile} ({book.ratio})</dd></div>
          <div><dt>{t("price")}</dt><dd>{price}</dd></div>
          <div><dt>{t("checks")}</dt><dd class={isRefused ? "books-warn" : "books-good"}>{isRefused ? t("warning") : t("passed")}</dd></div>
        </dl>
        <Link href={`/personalizations?book=${encodeURIComponent(book.slug)}`}>{t("made")}</Link>
      </div>
    </li>
  );
}
