/** Failures: the failed jobs that nobody has submitted again, by cause and model, with what to do about each. */
import { useQuery } from "@tanstack/react-query";
import { useState } from "preact/hooks";
import { Link } from "wouter-preact";
import { type Schema, api, data } from "~/api/http";
import { ago, useMessages } from "~/app/i18n";
import { messages as names } from "~/app/messages";
import { may, ownerQuery, useSession } from "~/app/session";
import { useUrlState } from "~/app/state";
import { BulkDialog } from "~/parts/bulk-dialog";
import { Button, ButtonLink } from "~/parts/button";
import { FilterBar } from "~/parts/filter-bar";
import { type JobFilter, jobFilter, ownerOf, pairsOf } from "~/parts/job-filter";
import { parseWords } from "~/parts/filter-words";
import { Icon } from "~/parts/icon";
import { Empty, Page, ProblemNotice, Waiting } from "~/parts/page";
import { FixDialog } from "./fix-dialog";
import { messages } from "./messages";
import "./style.css";

type Group = Schema<"JobGroup">;
type Chosen = { action: "fix" | "discard"; title: string; filter: JobFilter };

/** Failed jobs that were submitted again are done with. */
const DEAD: JobFilter = { status: ["failed"], replayed: false };

function useGroups(filter: string, newerThan?: string) {
  const { owner } = useSession();
  return useQuery({
    queryKey: ["counts", "failures", owner, filter, newerThan],
    queryFn: ({ signal }) => data(api.GET("/api/v1/jobs/counts", {
      params: { query: { ...jobFilter(filter), ...DEAD, ...ownerOf(parseWords(filter)), ...(newerThan ? { newerThan } : {}), by: "error" } }, signal,
    })),
    placeholderData: (before) => before,
  });
}

export default function Failures() {
  const t = useMessages(messages);
  const n = useMessages(names);
  const [filter, setFilter] = useUrlState("q");
  const [chosen, setChosen] = useState<Chosen | null>(null);
  const groups = useGroups(filter);
  const recent = useGroups(filter, "1h");
  const items = groups.data?.items ?? [];
  const total = items.reduce((sum, each) => sum + each.count, 0);
  const lately = new Map(recent.data?.items.map((each) => [keyOf(each), each.count]));
  const all: JobFilter = { ...jobFilter(filter), ...DEAD };
  const query = new URLSearchParams([...pairsOf(all), ["by", "error"]]);
  const known = { error: [...new Set(items.map((each) => each.key))], model: [...new Set(items.map((each) => shortModel(each.model)))].filter(Boolean), node: [], recipe: [], older: ["1h", "1d"], newer: ["1h", "1d"] };
  return (
    <Page title={n("failures")} call={{ method: "GET", path: `/api/v1/jobs/counts?${query}`, cli: "imagemill jobs counts --by error" }}
      actions={may("jobs:write") && total > 0 && (
        <>
          <Button icon="refresh" onClick={() => setChosen({ action: "fix", title: t("fixAll"), filter: all })}>{t("fixAll")}</Button>
          <Button kind="danger" icon="delete" onClick={() => setChosen({ action: "discard", title: t("discardAll"), filter: all })}>{t("discardAll")}</Button>
        </>
      )}>
      {(filter || total > 0) && <FilterBar label={t("filter")} value={filter} onChange={setFilter} known={known} />}
      {groups.error && <ProblemNotice error={groups.error} onRetry={() => void groups.refetch()} />}
      {groups.isPending && <Waiting what={t("reading")} />}
      {groups.data && !total && (filter ? (
        <Empty icon="filter" title={t("noMatch")}><Button onClick={() => setFilter("")}>{t("clear")}</Button></Empty>
      ) : <Empty icon="check" title={t("none")}><p>{t("noneWhy")}</p></Empty>)}
      {total > 0 && <p class="failures-total" role="status">{groups.data?.complete ? t("total", { count: total }) : t("atLeast", { count: total })}</p>}
      <ul class="failures-list" aria-label={t("groups")}>
        {items.map((each) => (
          <li key={keyOf(each)}>
            <FailureGroup group={each} lately={lately.get(keyOf(each)) ?? 0} filter={{ ...all, error: [each.key], ...(each.model ? { model: [each.model] } : {}) }} onChoose={setChosen} />
          </li>
        ))}
      </ul>
      {chosen?.action === "fix" && <FixDialog title={chosen.title} filter={chosen.filter} owner={ownerOf(parseWords(filter))} onClose={() => setChosen(null)} />}
      <BulkDialog action={chosen?.action === "discard" ? "delete" : null} title={chosen?.title} filter={chosen?.filter ?? {}} owner={ownerOf(parseWords(filter))} onClose={() => setChosen(null)} />
    </Page>
  );
}

function FailureGroup({ group, lately, filter, onChoose }: { group: Group; lately: number; filter: JobFilter; onChoose: (chosen: Chosen) => void }) {
  const t = useMessages(messages);
  const sample = useQuery({
    queryKey: ["job", group.lastJob, "sample"],
    queryFn: ({ signal }) => data(api.GET("/api/v1/jobs/{job_id}", { params: { path: { job_id: group.lastJob ?? "" }, query: ownerQuery() }, signal })),
    enabled: Boolean(group.lastJob),
    staleTime: Number.POSITIVE_INFINITY,
  });
  const error = sample.data?.error;
  const words = `status:failed replayed:false error:${group.key}${group.model ? ` model:${group.model}` : ""}`;
  return (
    <article class="card failures-group">
      <header>
        <span class="failures-count">{t("count", { count: group.count })}</span>
        <h2><code>{group.key}</code></h2>
        <span class="failures-model">{group.model ? t("model", { model: shortModel(group.model) }) : t("noModel")}</span>
      </header>
      {error && <p class="failures-advice"><Icon name="info" /><span>{error.advice}</span></p>}
      {error && (
        <p class="failures-sample">
          <Link href={`/jobs/${group.lastJob}`}>{t("sample")}</Link>: {error.message}
        </p>
      )}
      <footer>
        <span class={lately ? "failures-rising" : undefined}>{lately ? t("lastHour", { count: lately }) : t("quiet")}</span>
        {group.firstAt && <span>{t("first", { ago: ago(group.firstAt) })}</span>}
        {group.lastAt && <span>{t("last", { ago: ago(group.lastAt) })}</span>}
        <span class="failures-actions">
          <ButtonLink kind="quiet" icon="queue" href={`/queue?q=${encodeURIComponent(words)}`}>{t("show")}</ButtonLink>
          {may("jobs:write") && (
            <>
              <Button kind="primary" icon="refresh" onClick={() => onChoose({ action: "fix", title: t("fixTitle", { code: group.key }), filter })}>{t("fix")}</Button>
              <Button kind="danger" icon="delete" onClick={() => onChoose({ action: "discard", title: `${t("discard")}: ${group.key}`, filter })}>{t("discard")}</Button>
            </>
          )}
        </span>
      </footer>
    </article>
  );
}

function keyOf(group: Group): string {
  return `${group.key} ${group.model ?? ""}`;
}

/** Return the part of a model's name that tells it from others. */
function shortModel(model: string | null): string {
  return (model ?? "").replace(/^file:/, "").split(/[\\/]/).pop()?.replace(/^urn:air:/, "") ?? "";
}
