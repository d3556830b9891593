/** One page: its versions side by side with their findings on the picture, another drawing by a sentence. */
import { useState } from "preact/hooks";
import { api, data } from "~/api/http";
import { ago, number, useMessages } from "~/app/i18n";
import { may } from "~/app/session";
import { useDraft } from "~/app/state";
import { toast } from "~/app/toasts";
import { Button, IconButton } from "~/parts/button";
import { CopyAs } from "~/parts/copy-as";
import { Dialog } from "~/parts/dialog";
import { TextInput } from "~/parts/field";
import { Notice, ProblemNotice } from "~/parts/page";
import { Picture } from "~/parts/picture";
import { type MadeBook, type MadePage, REFERENCE, type Version, callOf, takeBook, useFindingName, useOwnerOf, usePageName } from "./book";
import { messages } from "./messages";

interface PagePanelProps {
  book: MadeBook;
  page: MadePage;
  /** The number of the finding that the reader has come from; 0 for none. */
  finding: number;
  before?: number;
  after?: number;
  onOpen: (page: number) => void;
  onClose: () => void;
}

export function PagePanel({ book, page, finding, before, after, onOpen, onClose }: PagePanelProps) {
  const t = useMessages(messages);
  const name = usePageName();
  const owner = useOwnerOf(book);
  const versions = [...page.versions].reverse();
  return (
    <Dialog title={name(page.page)} isOpen onClose={onClose} isWide
      actions={
        <>
          <CopyAs call={callOf(book, owner, { method: "GET", path: page.page === REFERENCE ? "/reference" : `/pages/${page.page}`, cli: `imagemill books show ${book.id}` })} />
          <IconButton icon="left" label={t("previous")} disabled={before === undefined} onClick={() => before !== undefined && onOpen(before)} />
          <IconButton icon="right" label={t("next")} disabled={after === undefined} onClick={() => after !== undefined && onOpen(after)} />
        </>
      }>
      {page.flagged && <Notice tone="warn"><p>{page.score === null ? t("code_face_not_scored") : t("score", { score: score(page.score) })}: {t("flagged")}</p></Notice>}
      <ul class={`books-versions${versions.length === 1 ? " books-versions-one" : ""}`}>
        {versions.map((version) => <VersionCard key={version.version} book={book} page={page} version={version} finding={version.current ? finding : 0} />)}
      </ul>
      {may("jobs:write") && <RedrawForm key={page.page} book={book} page={page} />}
    </Dialog>
  );
}

/** Return a likeness as people read it: 0.87. */
export function score(value: number): string {
  return number(value, { minimumFractionDigits: 2, maximumFractionDigits: 2 });
}

function VersionCard({ book, page, version, finding }: { book: MadeBook; page: MadePage; version: Version; finding: number }) {
  const t = useMessages(messages);
  const name = usePageName();
  const kind = useFindingName();
  const [problem, setProblem] = useState<unknown>(null);
  const owner = useOwnerOf(book);
  const label = t("pageOf", { page: name(page.page), version: version.version });
  const body = { version: version.version };
  const choose = async () => {
    setProblem(null);
    try {
      takeBook(await data(api.POST("/api/v1/personalizations/{id}/pages/{page}/choose", { params: { path: { id: book.id, page: page.page }, query: owner }, body })));
      toast({ text: t("chosen", { page: name(page.page), version: version.version }), tone: "good" });
    } catch (error) {
      setProblem(error);
    }
  };
  const mayChoose = may("jobs:write") && page.page !== REFERENCE && !version.current && version.state === "ready" && book.allowed.includes("choose_version");
  const chosen = callOf(book, owner, { method: "POST", path: `/pages/${page.page}/choose`, body, cli: `imagemill books choose ${book.id} ${page.page} ${version.version}` });
  const facts = [version.score === null ? "" : t("score", { score: score(version.score) }), version.automatic ? t("automatic") : "", version.feedback ? t("wish", { text: version.feedback }) : "", version.mode, t("seed", { seed: String(version.seed) }), ago(version.createdAt)];
  return (
    <li class={version.current ? "books-version books-version-current" : "books-version"}>
      <figure>
        {version.url ? (
          <div class="books-sheet">
            <Picture src={version.url} alt={label} isContained />
            {version.findings.map(({ box, message }, at) => box && (
              <span key={at} class={`books-mark${at + 1 === finding ? " books-mark-on" : ""}`} role="img" aria-label={t("marks", { number: at + 1, text: message })} title={message}
                style={{ left: `${100 * box.x}%`, top: `${100 * box.y}%`, width: `${100 * box.width}%`, height: `${100 * box.height}%` }}><b>{at + 1}</b></span>
            ))}
          </div>
        ) : <div class="books-blank"><p>{version.error ?? t(version.state)}</p></div>}
        <figcaption>
          <strong>{t("version")} {version.version}</strong>
          {version.current && <span class="status status-succeeded">{t("current")}</span>}
          {version.state !== "ready" && <span class="status">{t(version.state)}</span>}
        </figcaption>
      </figure>
      <p class="soft small">{facts.filter(Boolean).join(" · ")}</p>
      {version.findings.length > 0 && (
        <ol class="books-found">
          {version.findings.map((each, at) => (
            <li key={at} class={`books-${each.level}${at + 1 === finding ? " books-found-on" : ""}`}>
              <strong>{kind(each)}</strong> <span class="small">{each.message}. {t("remedy")}: {each.remedy}.{each.box ? "" : ` (${t("noPlace")})`}</span>
            </li>
          ))}
        </ol>
      )}
      {mayChoose && <div class="books-row"><Button icon="check" onClick={() => void choose()}>{t("choose", { version: version.version })}</Button><CopyAs call={chosen} /></div>}
      {problem !== null && <ProblemNotice error={problem} />}
    </li>
  );
}

function RedrawForm({ book, page }: { book: MadeBook; page: MadePage }) {
  const t = useMessages(messages);
  const name = usePageName();
  const owner = useOwnerOf(book);
  const [feedback, setFeedback, clear] = useDraft(`books.redraw.${book.id}.${page.page}`, "");
  const [problem, setProblem] = useState<unknown>(null);
  const [isBusy, setBusy] = useState(false);
  const isReference = page.page === REFERENCE;
  const isAllowed = page.redrawsLeft > 0 && page.state !== "generating" && book.allowed.includes(isReference ? "redraw_reference" : "redraw_page");
  const body = { feedback: feedback.trim() };
  const path = isReference ? "/reference/redraw" : `/pages/${page.page}/redraw`;
  const onSubmit = async (event: SubmitEvent) => {
    event.preventDefault();
    setBusy(true);
    setProblem(null);
    try {
      const at = { path: { id: book.id, page: page.page }, query: owner };
      takeBook(await data(isReference ? api.POST("/api/v1/personalizations/{id}/reference/redraw", { params: at, body }) : api.POST("/api/v1/personalizations/{id}/pages/{page}/redraw", { params: at, body })));
      toast({ text: t("redrawn", { page: name(page.page), version: page.versions.length + 1 }), tone: "good" });
      clear();
    } catch (error) {
      setProblem(error);
    }
    setBusy(false);
  };
  return (
    <form class="books-redraw" onSubmit={(event) => void onSubmit(event)}>
      <TextInput label={t("sentence")} hint={`${t("sentenceHint")} ${t("redraws", { count: page.redrawsLeft })}.`} maxLength={200} value={feedback} onInput={setFeedback} disabled={!isAllowed} />
      {problem !== null && <ProblemNotice error={problem} />}
      <div class="books-row">
        <Button kind="primary" type="submit" icon="make" isBusy={isBusy} blocked={isAllowed ? undefined : t("noRedraw")}>{t("redraw")}</Button>
        <CopyAs label={t("copyAction", { action: t("redraw") })} call={callOf(book, owner, { method: "POST", path, body, cli: `imagemill books redraw ${book.id} ${page.page} '${body.feedback.replaceAll("'", "'\\''")}'` })} />
      </div>
    </form>
  );
}
