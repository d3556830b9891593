/** One book in the making: its state, its pages with scores and findings, its files and its approval. */
import { useQuery } from "@tanstack/react-query";
import { ago, bytes, moment, useMessages } from "~/app/i18n";
import { messages as names } from "~/app/messages";
import { api, data } from "~/api/http";
import { ownerQuery } from "~/app/session";
import { useUrlState } from "~/app/state";
import { ButtonLink } from "~/parts/button";
import { Select } from "~/parts/field";
import { Icon } from "~/parts/icon";
import { Notice, Page, ProblemNotice, Waiting } from "~/parts/page";
import { Picture } from "~/parts/picture";
import { Progress } from "~/parts/status";
import { Table } from "~/parts/table";
import { Actions } from "./actions";
import { type MadeBook, type MadePage, REFERENCE, callOf, findingsOf, inOrder, urgency, useBook, useFindingName, useOwnerOf, usePageName, useTitleText } from "./book";
import { useCatalogue } from "./catalogue";
import { StateBadge } from "./made-books";
import { messages } from "./messages";
import { PagePanel, score } from "./page-panel";

export function Detail({ id }: { id: string }) {
  const t = useMessages(messages);
  const n = useMessages(names);
  const titleText = useTitleText();
  const { found, progress } = useBook(id);
  const offered = useCatalogue().data?.items ?? [];
  const book = found.data;
  const about = offered.find((each) => each.slug === book?.book);
  const child = book?.child?.name;
  const told = book && (about ? titleText(about.title, child) : book.book);
  const title = !told ? n("books") : child && !told.includes(child) ? `${told}: ${child}` : told;
  const owner = ownerQuery().owner;
  const path = `/api/v1/personalizations/${id}${owner ? `?owner=${encodeURIComponent(owner)}` : ""}`;
  return (
    <Page title={title} call={{ method: "GET", path, cli: `imagemill books show ${id}` }} actions={<ButtonLink href="/personalizations" kind="quiet" icon="left">{t("back")}</ButtonLink>}>
      {found.error && <ProblemNotice error={found.error} onRetry={() => void found.refetch()} />}
      {found.isPending && <Waiting what={t("reading")} />}
      {book && (book.deletedAt ? <Tombstone book={book} /> : (
        <>
          <Summary book={book} pages={about?.pages ?? book.total} />
          <Pages book={book} progress={progress} />
          <Files book={book} />
          {book.approvedAt && <Approval book={book} />}
        </>
      ))}
    </Page>
  );
}

function Tombstone({ book }: { book: MadeBook }) {
  const t = useMessages(messages);
  const count = (name: string) => Number(book.deletion[name] ?? 0);
  return (
    <Notice tone={book.deletion.erasedAt ? "good" : "info"}>
      <p>{book.deletion.erasedAt ? t("gone", { time: ago(book.deletedAt ?? "") }) : t("erasing")}</p>
      {book.deletion.erasedAt ? <p>{t("proofOf", { files: count("files"), photos: count("photos"), versions: count("versions"), jobs: count("jobs") })}</p> : null}
    </Notice>
  );
}

function Summary({ book, pages }: { book: MadeBook; pages: number }) {
  const t = useMessages(messages);
  const when = (time: string | null) => time && <span title={moment(time)}>{ago(time)}</span>;
  const facts: [string, preact.ComponentChildren][] = [
    [t("owner"), book.owner],
    [t("child"), book.child && t("childAge", book.child)],
    [t("profile"), book.profile],
    [t("begun"), when(book.createdAt)],
    [t("unlocked"), when(book.unlockedAt)],
    [t("approved"), when(book.approvedAt)],
    [t("photo"), book.photoDeletedAt ? t("photoGone", { time: ago(book.photoDeletedAt) }) : t("photoKept")],
  ];
  const unfit = book.analyses.filter((each) => each.usable === false && each.message);
  return (
    <section class="card books-summary" aria-label={t("state")}>
      <div class="books-row"><StateBadge state={book.state} />{book.total > 0 && <span class="books-number">{t("count", { done: book.done, total: book.total })}</span>}<code class="soft small books-id">{book.id}</code></div>
      {book.total > 0 && book.done < book.total && <Progress progress={book.done / book.total} label={t("progress")} />}
      {(book.problem || unfit.length > 0) && <Notice tone="warn"><p><strong>{t("waits")}</strong>: {[book.problem, ...unfit.map((each) => each.message)].filter(Boolean).join("; ")}</p></Notice>}
      <dl class="books-facts books-facts-wide">{facts.map(([name, value]) => value && <div key={name}><dt>{name}</dt><dd>{value}</dd></div>)}</dl>
      <Actions book={book} pages={pages} />
    </section>
  );
}

function Pages({ book, progress }: { book: MadeBook; progress: Record<number, number> }) {
  const t = useMessages(messages);
  const [order, setOrder] = useUrlState("order", "problems");
  const [shown, setShown] = useUrlState("page");
  const [finding, setFinding] = useUrlState("finding");
  const ordered = [...(book.reference ? [book.reference] : []), ...inOrder(book.pages)];
  const listed = order === "problems" ? [...ordered].sort((one, other) => urgency(other) - urgency(one)) : ordered;
  const open = (page: number, number = 0) => {
    setShown(String(page));
    setFinding(number ? String(number) : "");
  };
  const close = () => {
    setShown("");
    setFinding("");
  };
  const at = listed.findIndex((page) => String(page.page) === shown);
  const page = listed[at];
  if (!ordered.length) return null;
  return (
    <>
      <section class="books-section" aria-labelledby="books-pages">
        <header class="books-head">
          <h2 id="books-pages">{t("pages")}</h2>
          <Select label={t("order")} isLabelHidden value={order} onChange={setOrder} options={[{ value: "problems", label: t("problemsFirst") }, { value: "book", label: t("bookOrder") }]} />
        </header>
        <ul class="books-pages">{listed.map((each) => <PageCard key={each.page} page={each} progress={progress[each.page]} onOpen={() => open(each.page)} />)}</ul>
      </section>
      {book.pages.length > 0 && <Preflight pages={listed} onOpen={open} />}
      {page && <PagePanel book={book} page={page} finding={Number(finding)} before={listed[at - 1]?.page} after={listed[at + 1]?.page} onOpen={open} onClose={close} />}
    </>
  );
}

function PageCard({ page, progress, onOpen }: { page: MadePage; progress?: number; onOpen: () => void }) {
  const t = useMessages(messages);
  const name = usePageName()(page.page);
  const found = findingsOf(page).length;
  const isUrgent = urgency(page) >= 2;
  return (
    <li class={isUrgent ? "books-page books-page-urgent" : "books-page"}>
      <button type="button" onClick={onOpen} aria-label={name}>
        {page.url ? <Picture src={page.url} alt="" isContained /> : <div class="books-blank"><p>{t(page.state)}</p></div>}
        <span class="books-name">{name}</span>
      </button>
      {page.state === "generating" && <Progress progress={progress ?? 0} label={`${name}: ${t("generating")}`} />}
      <p class="small books-tags">
        {page.state === "failed" && <span class="status status-failed">{t("failed")}</span>}
        {page.flagged && <span class="status books-asks">{t("flagged")}</span>}
        {page.score !== null && <span class={page.flagged ? "books-warn" : "soft"}>{t("score", { score: score(page.score) })}</span>}
        {found > 0 && <span class="books-warn">{t("findings", { count: found })}</span>}
        {page.versions.length > 1 && <span class="soft">{t("versions", { count: page.versions.length })}</span>}
      </p>
    </li>
  );
}

/** The findings of all pages; each opens its page and marks the spot. */
function Preflight({ pages, onOpen }: { pages: MadePage[]; onOpen: (page: number, finding: number) => void }) {
  const t = useMessages(messages);
  const name = usePageName();
  const kind = useFindingName();
  const rows = pages.filter((page) => page.page !== REFERENCE).flatMap((page) => findingsOf(page).map((finding, at) => ({ page: page.page, finding, number: at + 1 })));
  rows.sort((one, other) => Number(one.finding.level !== "error") - Number(other.finding.level !== "error"));
  return (
    <section class="books-section" aria-labelledby="books-preflight">
      <h2 id="books-preflight">{t("preflight")}</h2>
      {!rows.length && <p class="soft">{t("noFindings")}</p>}
      {rows.length > 0 && (
        <Table label={`${t("preflight")}: ${t("findings", { count: rows.length })}`} head={[t("where"), t("finding"), t("remedy")]}>
          {rows.map(({ page, finding, number }) => (
            <tr key={`${page}.${number}`}>
              <td><button type="button" class="books-open" onClick={() => onOpen(page, number)}>{name(page)}</button></td>
              <td><span class={`books-${finding.level}`}>{t(finding.level)}</span> <strong>{kind(finding)}</strong><br /><span class="small soft">{finding.message}</span></td>
              <td class="small">{finding.remedy}</td>
            </tr>
          ))}
        </Table>
      )}
    </section>
  );
}

const FILES: Record<string, "pdf" | "coverFile" | "spreads" | "proof" | "zip"> = { pdf: "pdf", cover: "coverFile", spreads: "spreads", proof: "proof", zip: "zip" };

function Files({ book }: { book: MadeBook }) {
  const t = useMessages(messages);
  return (
    <section class="books-section" aria-labelledby="books-files">
      <h2 id="books-files">{t("files")}</h2>
      {!book.files.length && <p class="soft">{t("noFiles")}</p>}
      <ul class="books-files">
        {book.files.map((file) => {
          const name = FILES[file.kind];
          const label = name ? t(name) : file.kind;
          return (
            <li key={file.kind}>
              <a class="button button-plain" href={file.url} download={`${book.book}-${file.kind}.${file.kind === "zip" ? "zip" : "pdf"}`} aria-label={t("download", { name: label })}><Icon name="download" /><span>{label}</span></a>
              <span class="small soft">{file.size === null ? "" : bytes(file.size)} {file.sha256 && <code title={`SHA-256 ${file.sha256}`}>{file.sha256.slice(0, 12)}</code>}</span>
            </li>
          );
        })}
      </ul>
    </section>
  );
}

function Approval({ book }: { book: MadeBook }) {
  const t = useMessages(messages);
  const name = usePageName();
  const query = useOwnerOf(book);
  const found = useQuery({ queryKey: ["books", "approval", book.id, book.approvedAt], queryFn: ({ signal }) => data(api.GET("/api/v1/personalizations/{id}/approval", { params: { path: { id: book.id }, query }, signal })) });
  const record = found.data;
  const call = callOf(book, query, { method: "GET", path: "/approval" });
  return (
    <section class="books-section" aria-labelledby="books-approval">
      <h2 id="books-approval">{t("approval")}</h2>
      {found.error && <ProblemNotice error={found.error} onRetry={() => void found.refetch()} />}
      {record && (
        <>
          <p>{t("approvalText", { number: record.number, who: record.who, time: moment(record.at) })}. {t("changeUntil", { time: moment(record.changeUntil) })}.</p>
          <p class="small soft">{t("edition")} <code class="books-id">{record.edition}</code>, {record.profile}. <a href={call.path}>JSON</a></p>
          <details>
            <summary>{t("approvedPages", { count: record.pages.length })}</summary>
            <Table label={t("approvedPages", { count: record.pages.length })} head={[t("where"), t("version"), `${t("picture")} (SHA-256)`, `${t("text")} (SHA-256)`]}>
              {record.pages.map((page) => <tr key={page.page}><td>{name(page.page)}</td><td>{page.version}</td><td><code title={page.pictureSha256}>{page.pictureSha256.slice(0, 16)}</code></td><td><code title={page.textSha256}>{page.textSha256.slice(0, 16)}</code></td></tr>)}
            </Table>
          </details>
        </>
      )}
    </section>
  );
}
