/** The queue: all jobs with their states, and what can be done with one, with many, or with all that match. */
import { useCallback, useMemo, useRef, useState } from "preact/hooks";
import { useLocation } from "wouter-preact";
import { api, data } from "~/api/http";
import { isFinished, refresh } from "~/api/queries";
import { useMessages } from "~/app/i18n";
import { messages as names } from "~/app/messages";
import { may, ownerQuery, useSession } from "~/app/session";
import { useUrlState } from "~/app/state";
import { toast, withUndo } from "~/app/toasts";
import { type Action, BulkDialog } from "~/parts/bulk-dialog";
import { Button, ButtonLink } from "~/parts/button";
import { Select } from "~/parts/field";
import { FilterBar } from "~/parts/filter-bar";
import { parseWords } from "~/parts/filter-words";
import { jobFilter, jobQuery, ownerOf, pairsOf } from "~/parts/job-filter";
import type { MenuItem } from "~/parts/menu";
import { Empty, Page, ProblemNotice, Waiting } from "~/parts/page";
import { STATUSES } from "~/parts/status";
import { VirtualList } from "~/parts/virtual-list";
import { BulkBar } from "./bulk-bar";
import { StatusCounts, totalOf, useCounts, useKeys } from "./counts";
import { DrainQuestion, useForecast } from "./forecast";
import { type Entry, type Grouping, grouped } from "./groups";
import { type JobRow, useJobRows } from "./jobs";
import { messages } from "./messages";
import { PauseDialog } from "./pause-dialog";
import { Row } from "./row";
import { SavedFilters } from "./saved";
import { useIsNarrow } from "./width";
import "./style.css";

const ROW_PX = 52;
const NARROW_ROW_PX = 92;
const URGENT = -10;
const AGE_MS = 10_000;
const AGES = ["10m", "1h", "1d", "7d"];

export default function Queue() {
  const t = useMessages(messages);
  const n = useMessages(names);
  const { owner } = useSession();
  const [filter, setFilter] = useUrlState("q");
  const [grouping, setGrouping] = useUrlState("group");
  const [selected, setSelected] = useState<ReadonlySet<string>>(new Set());
  const [isAll, setAll] = useState(false);
  const [activeId, setActiveId] = useState("");
  const [action, setAction] = useState<Action | null>(null);
  const [isPausing, setPausing] = useState(false);
  const [, navigate] = useLocation();
  const isNarrow = useIsNarrow();
  const list = useJobRows(filter);
  const counts = useCounts(filter, "status");
  const forecast = useForecast();
  const known = useKnownValues();
  const entries = useMemo(() => grouped(list.rows, grouping as Grouping, t("others")), [list.rows, grouping, t]);
  const rows = useMemo(() => entries.flatMap((entry) => (entry.kind === "job" ? [entry.row] : [])), [entries]);
  // By the job, not by its place: new jobs move the rows, and a key acts on the job that the reader chose.
  const active = rows.findIndex((row) => row.id === activeId);
  const setActive = (at: number) => setActiveId(rows[at]?.id ?? "");
  const hasOwner = owner === "*";
  const change = useCallback((next: string) => {
    setFilter(next);
    setSelected(new Set());
    setAll(false);
    setActive(-1);
  }, [setFilter]);

  const select = (row: JobRow, isRange: boolean) => {
    setAll(false);
    const next = new Set(isAll ? rows.map((each) => each.id) : selected);
    const from = rows[active], at = rows.indexOf(row);
    if (isRange && from) for (const each of rows.slice(Math.min(active, at), Math.max(active, at) + 1)) next.add(each.id);
    else if (next.has(row.id)) next.delete(row.id);
    else next.add(row.id);
    setSelected(next);
    setActive(at);
  };
  const none = () => {
    setSelected(new Set());
    setAll(false);
  };
  const act = useRowActions(list.freshen, () => none());
  const items = (row: JobRow): MenuItem[] => [
    { label: t("open"), icon: "eye", onSelect: () => navigate(`/jobs/${row.id}`) },
    ...(may("jobs:write") ? rowItems(row, act, t) : []),
  ];
  const onKey = (event: KeyboardEvent) => {
    const isTyping = (event.target as HTMLElement).closest("input:not([type=checkbox]), textarea, select, [role=menu]");
    if (isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
    const row = rows[active];
    const step = event.key === "ArrowDown" || event.key === "j" ? 1 : event.key === "ArrowUp" || event.key === "k" ? -1 : 0;
    if (step) setActive(Math.max(0, Math.min(rows.length - 1, active + step)));
    else if (event.key === "Home") setActive(0);
    else if (event.key === "Escape" && (selected.size || isAll)) none();
    else if (!row) return;
    else if (event.key === "x" || event.key === " ") select(row, event.shiftKey);
    else if (event.key === "Enter" && (event.target as HTMLElement).classList.contains("virtual")) navigate(`/jobs/${row.id}`);
    else if (event.key === "c" && may("jobs:write") && !isFinished(row.status)) act.cancel(row);
    else if (event.key === "r" && may("jobs:write") && isFinished(row.status)) act.replay(row);
    else return;
    event.preventDefault();
  };
  const activeEntry = rows[active] ? entries.findIndex((entry) => entry.kind === "job" && entry.row === rows[active]) : undefined;
  const acts = useRef({ items, select });
  acts.current = { items, select };
  // Rows are rendered again when something of them changes, and now and then for their age.
  const time = Math.floor(Date.now() / AGE_MS);
  const query = new URLSearchParams(pairsOf(jobQuery(filter)));
  const chosen = isAll ? jobFilter(filter) : { id: [...selected] };
  return (
    <Page isFull title={n("queue")} call={{ method: "GET", path: `/api/v1/jobs${query.size ? `?${query}` : ""}`, cli: listCommand(filter) }}
      actions={may("nodes:write") && <Button icon="pause" onClick={() => setPausing(true)}>{t("pause")}</Button>}>
      <StatusCounts filter={filter} onChange={change} />
      <div class="queue-tools">
        <FilterBar label={t("filter")} value={filter} onChange={change} known={known} />
        <SavedFilters text={filter} onChoose={change} />
        <Select label={t("groupBy")} isLabelHidden value={grouping} onChange={setGrouping} options={[
          { value: "", label: t("noGroup") }, { value: "batch", label: t("batch") }, { value: "character", label: t("character") }, { value: "book", label: t("book") },
        ]} />
        {may("nodes:read") && <DrainQuestion forecast={forecast} />}
      </div>
      <BulkBar count={selected.size} isAll={isAll} total={totalOf(counts)} onAll={() => setAll(true)} onNone={none} onAct={setAction} />
      {list.error !== null && <ProblemNotice error={list.error} onRetry={list.reload} />}
      {list.isLoading && !list.rows.length && <Waiting what={t("jobs")} />}
      {!list.isLoading && !list.rows.length && list.error === null && <Nothing filter={filter} hasMore={list.next !== null} onClear={() => change("")} onMore={list.more} />}
      {list.rows.length > 0 && (
        <div class={`queue-list${hasOwner ? " queue-with-owner" : ""}`} onKeyDown={onKey}>
          <Head hasOwner={hasOwner} />
          <VirtualList<Entry> key={isNarrow ? "narrow" : "wide"} label={t("jobs")} items={entries} keyOf={(entry) => entry.key} rowHeight={isNarrow ? NARROW_ROW_PX : ROW_PX}
            onEnd={list.next === null ? undefined : list.more} onStart={list.start} active={activeEntry} activeKey={activeId}>
            {(entry) => entry.kind === "head" ? <GroupHead entry={entry} onSelect={(ids) => setSelected(new Set([...selected, ...ids]))} /> : (
              <Row row={entry.row} isSelected={isAll || selected.has(entry.row.id)} isActive={entry.row === rows[active]} hasOwner={hasOwner} progress={list.progress.get(entry.row.id)}
                starts={forecast.startOf(entry.row)} time={time} acts={acts} />
            )}
          </VirtualList>
          <p class="queue-keys">{t("keys")}</p>
        </div>
      )}
      <BulkDialog action={action} filter={chosen} owner={isAll ? ownerOf(parseWords(filter)) : ownerQuery()} onClose={() => setAction(null)} onStarted={none} />
      <PauseDialog isOpen={isPausing} onClose={() => setPausing(false)} />
    </Page>
  );
}

function Head({ hasOwner }: { hasOwner: boolean }) {
  const t = useMessages(messages);
  return (
    <div class="queue-row queue-head" aria-hidden="true">
      <span /><span /><span />
      <span>{t("columnJob")}</span>
      <span class="queue-model">{t("columnModel")}</span>
      {hasOwner && <span class="queue-owner">{t("columnOwner")}</span>}
      <span class="queue-node">{t("columnNode")}</span>
      <span class="queue-attempts">{t("columnAttempts")}</span>
      <span class="queue-starts">{t("columnStarts")}</span>
      <span class="queue-age">{t("columnAge")}</span>
      <span />
    </div>
  );
}

function GroupHead({ entry, onSelect }: { entry: Extract<Entry, { kind: "head" }>; onSelect: (ids: string[]) => void }) {
  const t = useMessages(messages);
  return (
    <div class="queue-group">
      <strong>{entry.label}</strong>
      <Button kind="quiet" onClick={() => onSelect(entry.ids)}>{t("selectAll", { count: entry.ids.length })}</Button>
    </div>
  );
}

function Nothing({ filter, hasMore, onClear, onMore }: { filter: string; hasMore: boolean; onClear: () => void; onMore: () => void }) {
  const t = useMessages(messages);
  if (!filter) return <Empty icon="queue" title={t("none")}><ButtonLink href="/" kind="primary" icon="make">{t("makeOne")}</ButtonLink></Empty>;
  return (
    <Empty icon="filter" title={hasMore ? t("noMatchYet") : t("noMatch")}>
      {hasMore && <Button kind="primary" onClick={onMore}>{t("readOlder")}</Button>}
      <Button onClick={onClear}>{t("clear")}</Button>
    </Empty>
  );
}

interface RowActions {
  cancel: (row: JobRow) => void;
  replay: (row: JobRow) => void;
  hasten: (row: JobRow) => void;
}

/** Return what a user does with one job; each says its outcome. */
function useRowActions(freshen: (ids: readonly string[]) => void, onDone: () => void): RowActions {
  const t = useMessages(messages);
  const path = (row: JobRow) => ({ params: { path: { job_id: row.id }, query: ownerQuery() } });
  const done = (row: JobRow) => {
    freshen([row.id]);
    refresh("counts", "forecast");
    onDone();
  };
  const run = async (text: string, row: JobRow, call: () => Promise<unknown>) => {
    try {
      await call();
      toast({ text, tone: "good" });
    } catch (error) {
      toast({ text: error instanceof Error ? error.message : String(error), tone: "bad" });
    }
    done(row);
  };
  return {
    cancel: (row) => withUndo(t("canceled"), async () => {
      await data(api.POST("/api/v1/jobs/{job_id}/cancel", path(row)));
      done(row);
    }),
    replay: (row) => void run(t("replayDone"), row, () => data(api.POST("/api/v1/jobs/{job_id}/replay", path(row)))),
    hasten: (row) => void run(t("urgentDone"), row, () => data(api.PATCH("/api/v1/jobs/{job_id}", { ...path(row), body: { priority: Math.max(-100, row.priority + URGENT) } }))),
  };
}

function rowItems(row: JobRow, act: RowActions, t: (key: "cancel" | "replay" | "urgent") => string): MenuItem[] {
  const isOpen = !isFinished(row.status);
  return [
    ...(row.status === "queued" || row.status === "waiting" ? [{ label: t("urgent"), icon: "fast" as const, onSelect: () => act.hasten(row) }] : []),
    ...(isOpen ? [{ label: t("cancel"), icon: "cancel" as const, isDanger: true, onSelect: () => act.cancel(row) }] : []),
    ...(isOpen ? [] : [{ label: t("replay"), icon: "refresh" as const, onSelect: () => act.replay(row) }]),
  ];
}

/** Return the values that the filter suggests. */
function useKnownValues(): Parameters<typeof FilterBar>[0]["known"] {
  const { owner } = useSession();
  const recipes = useKeys("recipe"), models = useKeys("model"), nodes = useKeys("node"), errors = useKeys("error");
  const owners = useKeys("owner", owner === "*");
  return {
    status: STATUSES, model: models.map((model) => model.split(/[\\/]/).pop() ?? model), node: nodes, recipe: recipes, error: [...new Set(errors)], older: AGES, newer: AGES,
    ...(owner === "*" ? { owner: owners } : {}), replayed: ["true", "false"], label: [], batch: [], character: [], book: [],
  };
}

const OPTIONS: Record<string, string> = { olderThan: "older-than", newerThan: "newer-than" };

function listCommand(filter: string): string {
  const options = pairsOf(jobFilter(filter)).map(([name, value]) => ` --${OPTIONS[name] ?? name} '${value}'`);
  return `imagemill jobs list${options.join("")}`;
}
