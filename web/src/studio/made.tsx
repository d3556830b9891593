/** A book in the making: the steps, and the page of each. */
import { useEffect, useRef } from "preact/hooks";
import { Link, Redirect, useLocation } from "wouter-preact";
import { useLanguage, useMessages } from "~/app/i18n";
import { Icon } from "~/parts/icon";
import { type Live, type MadeBook, type OfferedBook, STEPS, type Step, inLanguage, isOpen, stepOf, useMadeBook, useOfferedBook } from "./book";
import { ChildStep } from "./child-step";
import { DeletePage } from "./delete-page";
import { DownloadStep } from "./download-step";
import { HeroStep } from "./hero-step";
import { madeMessages } from "./made-messages";
import { OrderStep } from "./order-step";
import { Trouble, useTitle } from "./parts";
import { PhotoStep } from "./photo-step";
import { ReadStep } from "./read-step";

export interface StepProps {
  book: MadeBook;
  offered: OfferedBook | null;
  title: string;
  live: Live;
}

const PAGES = { photo: PhotoStep, hero: HeroStep, child: ChildStep, read: ReadStep, order: OrderStep, download: DownloadStep };
/** The steps that are left by themselves, once the book has moved on. Nobody is called away from reading. */
const LEFT_ALONE: readonly Step[] = ["photo", "hero", "child", "order"];

export function MadeBookPage({ id, step }: { id: string; step: string }) {
  const live = useMadeBook(id);
  const offered = useOfferedBook(live.book?.book);
  const language = useLanguage();
  const [, navigate] = useLocation();
  const { book } = live;
  const now = book && !book.deletedAt ? stepOf(book) : null;
  const former = useRef<Step | null>(null);
  useEffect(() => {
    const left = former.current;
    former.current = now;
    if (now && left && left !== now && step === left && LEFT_ALONE.includes(left)) navigate(`/books/made/${id}/${now}`);
  }, [now, step, id, navigate]);
  const title = offered ? inLanguage(offered.title, language) : (book?.book ?? "");
  useTitle(title);
  if (!book) return live.problem ? <Trouble error={live.problem} onRetry={live.reload} /> : null;
  const isDelete = step === "delete";
  if (book.deletedAt && !isDelete) return <Redirect to={`/books/made/${id}/delete`} replace />;
  const props = { book, offered, title, live };
  if (isDelete) return <DeletePage {...props} />;
  const known = STEPS.find((each) => each === step);
  if (!known || !isOpen(known, book)) return <Redirect to={`/books/made/${id}/${stepOf(book)}`} replace />;
  const Page = PAGES[known];
  return (
    <>
      <Steps book={book} step={known} />
      {live.problem !== null && <Trouble error={live.problem} onRetry={live.reload} />}
      <Page {...props} />
      <Foot book={book} />
    </>
  );
}

function Steps({ book, step }: { book: MadeBook; step: Step }) {
  const t = useMessages(madeMessages);
  const now = Math.max(STEPS.indexOf(stepOf(book)), STEPS.indexOf(step));
  return (
    <nav class="studio-steps" aria-label={t("steps")}>
      <ol>
        {STEPS.map((each, at) => {
          const inner = <><span class="studio-step-mark">{at < now ? <Icon name="check" size={14} /> : at + 1}</span><span class="studio-step-name">{t(`step_${each}`)}</span></>;
          return (
            <li key={each} class={at < now ? "studio-step-done" : undefined}>
              {isOpen(each, book) && each !== step
                ? <Link href={`/books/made/${book.id}/${each}`}>{inner}</Link>
                : <span aria-current={each === step ? "step" : undefined}>{inner}</span>}
            </li>
          );
        })}
      </ol>
    </nav>
  );
}

function Foot({ book }: { book: MadeBook }) {
  const t = useMessages(madeMessages);
  return (
    <footer class="studio-foot">
      <p>{book.photoDeletedAt ? t("photoGone") : t("leaveHint")}</p>
      <Link href={`/books/made/${book.id}/delete`}>{t("deleteAll")}</Link>
    </footer>
  );
}
