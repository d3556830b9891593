/** The whole book: the other pages are made once it is paid, then the parent approves what is printed. */
import { useEffect, useState } from "preact/hooks";
import { Link } from "wouter-preact";
import { api, data } from "~/api/http";
import { useMessages } from "~/app/i18n";
import { useDraft } from "~/app/state";
import { Button, ButtonLink } from "~/parts/button";
import { Checkbox, TextInput } from "~/parts/field";
import { Notice } from "~/parts/page";
import { FRONT_COVER } from "./book";
import { madeMessages } from "./made-messages";
import type { StepProps } from "./made";
import { Painting, Trouble, useAsk } from "./parts";
import { sizeOf } from "./read-step";
import { useVisitor } from "./session";

export function OrderStep(props: StepProps) {
  const t = useMessages(madeMessages);
  const { book } = props;
  if (book.state === "completed") {
    return <section class="studio-center"><h1>{t("approvedTitle")}</h1><ButtonLink kind="primary" icon="download" href={`/books/made/${book.id}/download`}>{t("toDownload")}</ButtonLink></section>;
  }
  if (book.state === "preview_ready") return <Unlock {...props} />;
  return <Approve {...props} />;
}

function Unlock({ book, offered, live }: StepProps) {
  const t = useMessages(madeMessages);
  const { mayUnlock } = useVisitor();
  const { isBusy, problem, ask } = useAsk(live.reload);
  const rest = Math.max(0, (book.bound?.order.filter((page) => page !== null).length ?? 0) - book.total);
  const price = offered?.price;
  const onUnlock = () => ask(async () => live.take(await data(api.POST("/api/v1/personalizations/{id}/unlock", { params: { path: { id: book.id } } }))));
  return (
    <section class="studio-card">
      <h1>{t("wholeTitle")}</h1>
      <p>{t("wholeText", { count: rest })}</p>
      {book.bound && <p class="soft">{t("size", sizeOf(book.bound))}</p>}
      {price && (price.page !== null || price.book !== null) && <p class="soft">{t("price", { page: price.page ?? 0, book: price.book ?? 0 })}</p>}
      {problem !== null && <Trouble error={problem} />}
      {mayUnlock && book.allowed.includes("unlock")
        ? <Button kind="primary" icon="make" isBusy={isBusy} onClick={onUnlock}>{t("makeWhole")}</Button>
        : <Notice><p>{t("notPaid")}</p></Notice>}
      <Link href={`/books/made/${book.id}/read`}>{t("lookAgain")}</Link>
    </section>
  );
}

function Printing() {
  const t = useMessages(madeMessages);
  return <section class="studio-center"><h1>{t("printing")}</h1><Painting>{t("printingText")}</Painting></section>;
}

function Approve({ book, live, title }: StepProps) {
  const t = useMessages(madeMessages);
  const [who, setWho] = useDraft("studio.who", "");
  const [hasLooked, setLooked] = useState(false);
  const [isTried, setTried] = useState(false);
  const [isSent, setSent] = useState(false);
  const { isBusy, problem, ask } = useAsk(live.reload);
  useEffect(() => setSent(false), [book.state]);
  const flagged = book.pages.filter((page) => page.flagged && page.page < FRONT_COVER);
  const errors = book.pages.filter((page) => page.versions.some((version) => version.current && version.findings.some((finding) => finding.level === "error")));
  const proof = book.files.find((file) => file.kind === "proof");
  const onSubmit = (event: SubmitEvent) => {
    event.preventDefault();
    setTried(true);
    if (!hasLooked || !who.trim()) return;
    ask(async () => {
      live.take(await data(api.POST("/api/v1/personalizations/{id}/approve", { params: { path: { id: book.id } }, body: { who: who.trim() } })));
      setSent(true);
    });
  };
  if (isSent) return <Printing />;
  return (
    <form class="studio-card" onSubmit={onSubmit} noValidate>
      <h1>{t("approveTitle")}</h1>
      <p>{t("approveText")}</p>
      <dl class="studio-facts">
        <div><dt>{t("factBook")}</dt><dd>{title}</dd></div>
        {book.child && <div><dt>{t("factName")}</dt><dd>{book.child.name}</dd></div>}
        {book.bound && <div><dt>{t("factPrint")}</dt><dd>{t("size", sizeOf(book.bound))}, {t(book.bound.cover === "hard" ? "hardCover" : "softCover")}</dd></div>}
        <div><dt>{t("factPages")}</dt><dd><Link href={`/books/made/${book.id}/read`}>{t("lookAgain")}</Link></dd></div>
        {proof && <div><dt>{t("factProof")}</dt><dd><a href={proof.url} download="proof.pdf">{t("proof")}</a></dd></div>}
      </dl>
      {flagged.length > 0 && <Spots tone="warn" book={book.id} text={t("lookClosely", { count: flagged.length })} pages={flagged.map((page) => page.page)} />}
      {errors.length > 0 && <Spots tone="bad" book={book.id} text={t("notPrintable")} pages={errors.map((page) => page.page)} />}
      <div>
        <Checkbox label={t("hasLooked")} isChecked={hasLooked} onChange={setLooked} />
        {isTried && !hasLooked && <p class="field-error" role="alert">{t("firstLook")}</p>}
      </div>
      <TextInput label={t("who")} hint={t("whoApproves")} value={who} onInput={setWho} maxLength={200} autocomplete="name" error={isTried && !who.trim() ? t("firstName") : undefined} />
      {problem !== null && <Trouble error={problem} />}
      <Button kind="primary" type="submit" icon="check" isBusy={isBusy}>{t("approve")}</Button>
    </form>
  );
}

function Spots({ tone, text, pages, book }: { tone: "warn" | "bad"; text: string; pages: number[]; book: string }) {
  return (
    <Notice tone={tone}>
      <p>{text} {pages.map((page) => <Link key={page} class="studio-spot" href={`/books/made/${book}/read?page=${page}`}>{page}</Link>)}</p>
    </Notice>
  );
}
