/** The pages as spreads, while they are made and after: turn them, change them, share them. */
import { Link, useSearch, useLocation } from "wouter-preact";
import { api, data } from "~/api/http";
import { useMessages } from "~/app/i18n";
import { Button, ButtonLink } from "~/parts/button";
import { Notice } from "~/parts/page";
import { FRONT_COVER, type MadePage, isBound, isPainting } from "./book";
import { useDrawnCovers } from "./covers";
import { facesOf } from "./faces";
import { FlipBook, faceName, openFaces, useIsWide } from "./flip";
import { madeMessages } from "./made-messages";
import type { StepProps } from "./made";
import { messages } from "./messages";
import { Bar, Trouble, useAsk } from "./parts";
import { PageChanges } from "./page-changes";
import { useVisitor } from "./session";
import { ShareButton } from "./share";

export function ReadStep({ book, title, live }: StepProps) {
  const t = useMessages(madeMessages);
  const n = useMessages(messages);
  const [, navigate] = useLocation();
  const at = new URLSearchParams(useSearch()).get("page") ?? "front";
  const isWide = useIsWide();
  const covers = useDrawnCovers(book.book);
  const faces = facesOf({ bound: book.bound, pages: book.pages, isWhole: book.unlockedAt !== null, ...covers });
  const open = openFaces(faces, at, isWide);
  const seen = open.map((face) => book.pages.find((page) => page.page === face.page)).filter((page) => page !== undefined);
  return (
    <section class="studio-read">
      <h1 class="visually-hidden">{title}</h1>
      <Standing {...{ book, live }} />
      <FlipBook title={title} faces={faces} at={at} onTurn={(key) => navigate(`?page=${key}`, { replace: true })} bound={book.bound} progress={live.progress} onExpired={live.reload} />
      {book.bound && <p class="studio-size soft">{t("size", sizeOf(book.bound))}</p>}
      <div class="studio-pages">
        {seen.map((page) => <PageChanges key={page.page} book={book} page={page} name={pageTitle(page, open, n)} live={live} />)}
      </div>
      <div class="studio-actions">
        {book.state === "preview_ready" && <ButtonLink kind="primary" icon="right" href={`/books/made/${book.id}/order`}>{t("toWhole")}</ButtonLink>}
        {book.state === "proof_ready" && <ButtonLink kind="primary" icon="check" href={`/books/made/${book.id}/order`}>{t("toApprove")}</ButtonLink>}
        {book.state === "completed" && <ButtonLink kind="primary" icon="download" href={`/books/made/${book.id}/download`}>{t("toDownload")}</ButtonLink>}
        {book.allowed.includes("share") && <ShareButton book={book} live={live} />}
      </div>
    </section>
  );
}

function pageTitle(page: MadePage, open: ReturnType<typeof openFaces>, n: Parameters<typeof faceName>[1]): string {
  const face = open.find((each) => each.page === page.page);
  return face ? faceName(face, n) : "";
}

/** Return the measures of a printed book for its message. */
export function sizeOf(bound: { widthMm: number; heightMm: number; spineMm: number; order: unknown[] }) {
  const tenth = (mm: number) => Math.round(mm) / 10;
  return { width: tenth(bound.widthMm), height: tenth(bound.heightMm), spine: Math.round(bound.spineMm * 10) / 10, count: bound.order.length };
}

/** How far the pages are, and what went wrong. */
function Standing({ book, live }: Pick<StepProps, "book" | "live">) {
  const t = useMessages(madeMessages);
  const { mayUnlock } = useVisitor();
  const { isBusy, problem, ask } = useAsk(live.reload);
  if (book.state === "canceled") return <Notice tone="warn">{t("stopped")} <Link href={`/books/${book.book}`}>{t("beginAgain")}</Link></Notice>;
  const failed = book.pages.filter((page) => page.state === "failed").map((page) => page.page);
  if (book.state === "generation_failed") {
    const at = { params: { path: { id: book.id } } };
    const { child } = book;
    const onAgain = () =>
      ask(async () => {
        if (book.unlockedAt) live.take(await data(api.POST("/api/v1/personalizations/{id}/unlock", at)));
        else if (child) {
          const body = { childName: child.name, childAge: child.age, childGender: child.gender as "girl", language: child.language };
          live.take(await data(api.POST("/api/v1/personalizations/{id}/generate", { ...at, body })));
        }
      });
    const mayRepeat = book.unlockedAt ? mayUnlock && book.allowed.includes("unlock") : book.allowed.includes("generate");
    return (
      <Notice tone="bad" actions={mayRepeat && <Button icon="refresh" isBusy={isBusy} onClick={onAgain}>{t("paintMissing")}</Button>}>
        <p>{failed.length ? t("pagesFailed", { count: failed.length }) : t("filesFailed")} {!mayRepeat && t("tellOperator")}</p>
        {problem !== null && <Trouble error={problem} />}
      </Notice>
    );
  }
  if (isPainting(book)) {
    const pages = book.pages.filter((page) => isBound(page.page, book.bound));
    const done = pages.filter((page) => page.state === "ready").length;
    return (
      <div class="studio-standing" role="status">
        <p>{book.total > 0 && book.done === book.total ? t("checking") : t("paintedSoFar", { done, count: pages.length })}</p>
        <Bar value={pages.length ? done / pages.length : 0} />
      </div>
    );
  }
  const flagged = book.pages.filter((page) => page.flagged && page.page < FRONT_COVER);
  if (flagged.length) {
    return (
      <Notice tone="warn">
        <p>{t("lookClosely", { count: flagged.length })} {flagged.map((page) => <Link key={page.page} class="studio-spot" href={`?page=${page.page}`}>{page.page}</Link>)}</p>
      </Notice>
    );
  }
  return null;
}
