/** The books in the making, newest first. */
import { useInfiniteQuery } from "@tanstack/react-query";
import { useEffect, useRef } from "preact/hooks";
import { Link } from "wouter-preact";
import { useFeed } from "~/api/feed";
import { type Schema, api, data } from "~/api/http";
import { refresh } from "~/api/queries";
import { ago, moment, useMessages } from "~/app/i18n";
import { ownerQuery, useSession } from "~/app/session";
import { useUrlState } from "~/app/state";
import { Button } from "~/parts/button";
import { Select } from "~/parts/field";
import { Empty, ProblemNotice, Waiting } from "~/parts/page";
import { Table } from "~/parts/table";
import { useTitleText } from "./book";
import { useCatalogue } from "./catalogue";
import { messages } from "./messages";

export type State = Schema<"BookState">;
type Begun = Schema<"PersonalizationOverview">;

const PAUSE_MS = 3000;
const STATES: State[] = [
  "pending_analysis", "analyzing", "analyzed", "analysis_failed", "reference_generating", "reference_ready", "preview_generating", "preview_ready", "full_generating", "proof_ready",
  "completed", "generation_failed", "canceled",
];
const TONES: Partial<Record<State, string>> = { completed: "status-succeeded", analysis_failed: "status-failed", generation_failed: "status-failed", canceled: "", reference_ready: "books-asks", preview_ready: "books-asks", proof_ready: "books-asks" };

export function StateBadge({ state }: { state: State }) {
  const t = useMessages(messages);
  return <span class={`status ${TONES[state] ?? "status-running"}`}>{t(state)}</span>;
}

/** Read the list again after events of jobs, at most every 3 s. */
function useListRefresh() {
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  useEffect(() => () => clearTimeout(timer.current), []);
  useFeed({
    jobs: () => {
      timer.current ??= setTimeout(() => {
        timer.current = undefined;
        refresh("books");
      }, PAUSE_MS);
    },
  });
}

export function MadeBooks() {
  const t = useMessages(messages);
  const titleText = useTitleText();
  const { owner, me } = useSession();
  const [state, setState] = useUrlState("state");
  const [book, setBook] = useUrlState("book");
  const offered = useCatalogue().data?.items ?? [];
  const query = { ...ownerQuery(), limit: 50, ...(book ? { book } : {}), ...(STATES.includes(state as State) ? { state: state as State } : {}) };
  const found = useInfiniteQuery({
    queryKey: ["books", "made", query],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ signal, pageParam }) => data(api.GET("/api/v1/personalizations", { params: { query: { ...query, cursor: pageParam } }, signal })),
    getNextPageParam: (page) => page.next ?? undefined,
  });
  useListRefresh();
  const items = found.data?.pages.flatMap((page) => page.items) ?? [];
  const title = (slug: string) => titleText(offered.find((each) => each.slug === slug)?.title ?? { en: slug });
  const isOfOthers = owner !== "" && owner !== me?.owner;
  const books = [...new Set([...offered.map((each) => each.slug), ...(book ? [book] : [])])];
  const clear = () => (book ? setBook("") : setState(""));
  return (
    <>
      <div class="books-filter">
        <Select label={t("state")} value={state} onChange={setState} options={[{ value: "", label: t("allStates") }, ...STATES.map((value) => ({ value, label: t(value) }))]} />
        <Select label={t("book")} value={book} onChange={setBook} options={[{ value: "", label: t("allBooks") }, ...books.map((value) => ({ value, label: title(value) }))]} />
      </div>
      {found.error && <ProblemNotice error={found.error} onRetry={() => void found.refetch()} />}
      {found.isPending && <Waiting what={t("made")} />}
      {found.data && !items.length && (state || book ? (
        <Empty icon="filter" title={t("noMatch")}><Button onClick={clear}>{t("clear")}</Button></Empty>
      ) : <Empty icon="books" title={t("none")}><p>{t("noneHint")}</p></Empty>)}
      {items.length > 0 && (
        <Table label={t("made")} head={[t("book"), t("state"), t("pages"), ...(isOfOthers ? [t("owner")] : []), t("begun")]}>
          {items.map((each) => <Row key={each.id} begun={each} title={title(each.book)} isOfOthers={isOfOthers} />)}
        </Table>
      )}
      {found.hasNextPage && <Button isBusy={found.isFetchingNextPage} onClick={() => void found.fetchNextPage()}>{t("more")}</Button>}
    </>
  );
}

function Row({ begun, title, isOfOthers }: { begun: Begun; title: string; isOfOthers: boolean }) {
  const t = useMessages(messages);
  return (
    <tr>
      <td><Link href={`/personalizations/${begun.id}`}>{title}</Link> <code class="soft small">{begun.id.slice(-6)}</code></td>
      <td><StateBadge state={begun.state} /></td>
      <td class="books-number">{begun.total ? t("count", { done: begun.done, total: begun.total }) : "–"}</td>
      {isOfOthers && <td>{begun.owner}</td>}
      <td><span title={moment(begun.createdAt)}>{ago(begun.createdAt)}</span></td>
    </tr>
  );
}
