/** The gallery: all pictures, newest first, with a filter in words, details beside them, and what can be done with many. */
import { useQuery } from "@tanstack/react-query";
import { useCallback, useEffect, useMemo, useRef, useState } from "preact/hooks";
import { useLocation, useParams } from "wouter-preact";
import { type Schema, api, data } from "~/api/http";
import { moment, number, useMessages } from "~/app/i18n";
import { messages as names } from "~/app/messages";
import { may, ownerQuery, useSession } from "~/app/session";
import { usePreference, useUrlState } from "~/app/state";
import { Button, ButtonLink } from "~/parts/button";
import { Select } from "~/parts/field";
import { FilterBar } from "~/parts/filter-bar";
import { Empty, Notice, Page, ProblemNotice, Waiting } from "~/parts/page";
import { rate, remove } from "./actions";
import { type Shown, type Sort, parameters, unknownWords, useArtifacts } from "./artifacts";
import { Compare } from "./compare";
import { Details } from "./details";
import { Grid, type GridKeys, type Size } from "./grid";
import { messages } from "./messages";
import { SelectionBar } from "./selection-bar";
import "./style.css";

const SIZES: Size[] = ["small", "medium", "large"];

export default function Gallery() {
  const t = useMessages(messages);
  const n = useMessages(names);
  const { owner } = useSession();
  const [text, setText] = useUrlState("q");
  const [sort, setSort] = useUrlState("sort", "newest");
  const [picture, setPicture] = useUrlState("picture");
  const [size, setSize] = usePreference<Size>("gallery.size", "medium");
  const [selected, setSelected] = useState<ReadonlySet<string>>(new Set());
  const [isSelecting, setSelecting] = useState(false);
  const [compared, setCompared] = useState<[string, string] | null>(null);
  const [active, setActive] = useState(-1);
  const list = useArtifacts({ text, sort: sort === "rating" ? "rating" : "newest", owner });
  const { items } = list;
  useLinkedPicture(setPicture);
  useEffect(() => setSelected(new Set()), [text, sort, owner]);
  const shown = picture ? items.findIndex((item) => item.id === picture) : -1;
  // New pictures move the others: the active one stays the same picture.
  useEffect(() => {
    if (shown >= 0) setActive(shown);
  }, [shown]);
  const keys = useKeys({ list, active, selected, picture, isSelecting, setActive, setSelected, setPicture, setSelecting });
  const chosen = useMemo(() => items.filter((item) => selected.has(item.id)), [items, selected]);
  const unknown = unknownWords(text);
  const query = queryText({ text, sort: sort === "rating" ? "rating" : "newest" });
  return (
    <Page title={n("gallery")} isFull call={{ method: "GET", path: `/api/v1/artifacts${query && `?${query}`}`, cli: `imagemill artifacts list${cliText(text, sort)}` }}>
      <div class="gallery-tools">
        <FilterBar label={t("filter")} value={text} onChange={setText} known={useKnownValues()} />
        <Select label={t("sort")} isLabelHidden value={sort} onChange={setSort} options={(["newest", "rating"] as const).map((value) => ({ value, label: t(value) }))} />
        <Select label={t("tiles")} isLabelHidden value={size} onChange={(value) => setSize(value as Size)} options={SIZES.map((value) => ({ value, label: t(value) }))} />
      </div>
      {unknown.length > 0 && <Notice tone="warn">{t("unknownWord", { words: unknown.map((word) => `${word}:`).join(", ") })}</Notice>}
      {list.error && <ProblemNotice error={list.error} onRetry={list.retry} />}
      {!list.isFirstLoaded && !items.length && <Waiting what={t("pictures")} />}
      {list.isFirstLoaded && !items.length && !list.next && !list.error && <Nothing isFiltered={Boolean(text) || sort === "rating"} />}
      <div class="gallery-count">
        <p role="status">
          {items.length > 0 && t("shown", { count: items.length, more: list.next ? "+" : "" })}
          {list.searchedTo && ` · ${t("searchedTo", { when: moment(list.searchedTo) })}`}
        </p>
        {items.length > 0 && <span class="gallery-keys">{t("keys")}</span>}
        {items.length > 0 && <Button kind="quiet" icon="check" aria-pressed={isSelecting} onClick={() => setSelecting(!isSelecting)}>{t("select")}</Button>}
      </div>
      <div class={`gallery${picture ? " gallery-open" : ""}`} hidden={!items.length && !list.next && !picture}>
        <Grid items={items} size={SIZES.includes(size) ? size : "medium"} active={active} selected={selected} isSelecting={isSelecting} onActive={keys.move} onEnd={list.more} pages={`${list.next} ${list.isFirstLoaded}`} keys={keys} />
        {picture && (
          <Details id={picture} shown={items[shown]} onClose={() => setPicture("")} onStep={shown >= 0 ? (step) => keys.move(Math.max(0, Math.min(items.length - 1, shown + step))) : undefined}
            onRate={(rating) => shown >= 0 && keys.rate(shown, rating)} onDelete={() => shown >= 0 && keys.remove(shown)} />
        )}
      </div>
      <SelectionBar chosen={chosen} loaded={items.length} isSelecting={isSelecting} onAll={keys.selectAll} onClear={() => { setSelected(new Set()); setSelecting(false); }}
        onCompare={setCompared} onDelete={() => { remove(list, chosen); setSelected(new Set()); }} />
      {compared && <Compare ids={compared} onClose={() => setCompared(null)} />}
    </Page>
  );
}

interface Control {
  list: ReturnType<typeof useArtifacts>;
  active: number;
  selected: ReadonlySet<string>;
  picture: string;
  isSelecting: boolean;
  setActive: (index: number) => void;
  setSelected: (ids: ReadonlySet<string>) => void;
  setPicture: (id: string) => void;
  setSelecting: (value: boolean) => void;
}

/** Return what keys and presses do; the functions stay the same, so that tiles are drawn only when they change. */
function useKeys(control: Control): GridKeys & { move: (index: number) => void } {
  const latest = useRef(control);
  latest.current = control;
  const anchor = useRef(0);
  const at = useCallback((index: number): Shown | undefined => latest.current.list.items[index], []);
  return useMemo(
    () => ({
      move: (index) => {
        latest.current.setActive(index);
        const item = at(index);
        if (latest.current.picture && item) latest.current.setPicture(item.id);
      },
      open: (index) => {
        const item = at(index);
        latest.current.setActive(index);
        if (item) latest.current.setPicture(item.id);
      },
      select: (index, isRange) => {
        const { list, selected, setSelected, setActive } = latest.current;
        const item = at(index);
        if (!item) return;
        const next = new Set(selected);
        if (isRange) for (const each of list.items.slice(Math.min(anchor.current, index), Math.max(anchor.current, index) + 1)) next.add(each.id);
        else if (!next.delete(item.id)) next.add(item.id);
        anchor.current = index;
        setActive(index);
        setSelected(next);
      },
      rate: (index, rating) => {
        const item = at(index);
        if (item && may("jobs:write")) void rate(latest.current.list, item, rating);
      },
      remove: (index) => {
        const { list, selected, picture, setPicture, setSelected } = latest.current;
        if (!may("jobs:write")) return;
        const chosen = selected.size ? list.items.filter((item) => selected.has(item.id)) : list.items.slice(index, index + 1);
        if (!chosen.length) return;
        const following = list.items.slice(index + 1).find((item) => !selected.has(item.id));
        if (picture && chosen.some((item) => item.id === picture)) setPicture(following?.id ?? "");
        remove(list, chosen);
        setSelected(new Set());
      },
      selectAll: () => latest.current.setSelected(new Set(latest.current.list.items.map((item) => item.id))),
      leave: () => {
        const { picture, setPicture, setSelected, setSelecting } = latest.current;
        if (picture) setPicture("");
        else {
          setSelected(new Set());
          setSelecting(false);
        }
      },
    }),
    [],
  );
}

/** Turn the address of one picture into the state of the screen. */
function useLinkedPicture(setPicture: (id: string) => void) {
  const { artifact } = useParams<{ artifact?: string }>();
  const [, navigate] = useLocation();
  useEffect(() => {
    if (artifact) navigate(`/gallery?picture=${encodeURIComponent(artifact)}`, { replace: true });
  }, [artifact, setPicture]);
}

/** Return the values that the filter suggests: those that finished jobs have. */
function useKnownValues() {
  const { owner } = useSession();
  const values = (by: "model" | "recipe" | "node") => ({
    queryKey: ["gallery-values", by, owner],
    queryFn: () => data(api.GET("/api/v1/jobs/counts", { params: { query: { by, status: ["succeeded"], ...ownerQuery() } } })),
    staleTime: 60_000,
  });
  const of = (found: { data?: Schema<"JobGroups"> }) => (found.data?.items ?? []).map((item) => item.key).filter(Boolean);
  const [model, recipe, node] = [useQuery(values("model")), useQuery(values("recipe")), useQuery(values("node"))].map(of);
  return { model, recipe, node, type: ["image", "video", "image/png", "image/webp", "image/jpeg"], rating: ["1", "2", "3", "4", "5"], newer: ["1h", "1d", "7d"], older: ["1d", "7d", "30d"], job: [], batch: [], character: [] };
}

function queryText(query: { text: string; sort: Sort }): string {
  const pairs = Object.entries(parameters(query)).flatMap(([name, value]) => (Array.isArray(value) ? value : [value]).map((each) => [name, String(each)]));
  return new URLSearchParams(pairs).toString();
}

function cliText(text: string, sort: string): string {
  const given = parameters({ text, sort: sort === "rating" ? "rating" : "newest" });
  const options = Object.entries(given).flatMap(([name, value]) => (Array.isArray(value) ? value : [value]).map((each) => ` --${name} ${/^[\w.:@*/-]+$/.test(String(each)) ? each : `"${each}"`}`));
  return options.join("");
}

function Nothing({ isFiltered }: { isFiltered: boolean }) {
  const t = useMessages(messages);
  if (isFiltered) return <Empty icon="filter" title={t("noneMatches")}><p>{t("noneHint", { example: `newer:${number(7)}d` })}</p></Empty>;
  return <Empty icon="gallery" title={t("none")}><ButtonLink href="/" kind="primary" icon="make">{t("makeOne")}</ButtonLink></Empty>;
}
