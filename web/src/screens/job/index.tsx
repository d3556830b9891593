/** One job: its pictures, where its time went, and everything that is known about it. */
import { useQuery } from "@tanstack/react-query";
import { useState } from "preact/hooks";
import { Link, useLocation, useParams } from "wouter-preact";
import { type ProgressNews, useFeed } from "~/api/feed";
import { type Schema, api, data } from "~/api/http";
import { isFinished, queries, refresh } from "~/api/queries";
import { ago, moment, number, useMessages } from "~/app/i18n";
import { may, ownerQuery } from "~/app/session";
import { useUrlState } from "~/app/state";
import { toast, withUndo } from "~/app/toasts";
import { Button } from "~/parts/button";
import { CopyAs, CopyText } from "~/parts/copy-as";
import { Notice, Page, ProblemNotice, Waiting } from "~/parts/page";
import { Picture } from "~/parts/picture";
import { Progress, StatusBadge } from "~/parts/status";
import { Tabs } from "~/parts/tabs";
import { GraphPanel } from "./graph-panel";
import { messages } from "./messages";
import { Deliveries, Events, Family, Ledger } from "./panels";
import { PlacementPanel } from "./placement-panel";
import { lanesOf } from "./stages";
import "./style.css";
import { Timeline } from "./timeline";

type Job = Schema<"JobBody">;

export default function JobScreen() {
  const t = useMessages(messages);
  const { id = "" } = useParams();
  const params = { path: { job_id: id }, query: ownerQuery() };
  const job = useQuery({ queryKey: ["job", id], queryFn: ({ signal }) => data(api.GET("/api/v1/jobs/{job_id}", { params, signal })) });
  const call = { method: "GET" as const, path: `/api/v1/jobs/${id}`, cli: `imagemill jobs show ${id}`, python: `client.jobs.get("${id}")` };
  return (
    <Page title={job.data ? titleOf(job.data) : t("job")} call={call} actions={job.data && <Actions job={job.data} />}>
      {job.error && <ProblemNotice error={job.error} onRetry={() => void job.refetch()} />}
      {job.isPending && <Waiting what={t("job")} />}
      {job.data && <Loaded job={job.data} />}
    </Page>
  );
}

function titleOf(job: Job): string {
  const values = (typeof job.input.values === "object" && job.input.values !== null ? job.input.values : job.input) as Record<string, unknown>;
  const text = job.name ?? (typeof values.prompt === "string" ? values.prompt : "");
  return text ? (text.length > 80 ? `${text.slice(0, 79)}…` : text) : `${job.recipe} ${job.id.slice(-8)}`;
}

function Actions({ job }: { job: Job }) {
  const t = useMessages(messages);
  const [, navigate] = useLocation();
  const params = { path: { job_id: job.id }, query: ownerQuery() };
  const cancel = () =>
    withUndo(t("canceled"), async () => {
      await data(api.POST("/api/v1/jobs/{job_id}/cancel", { params }));
      void queries.invalidateQueries({ queryKey: ["job", job.id] });
      refresh("jobs", "counts");
    });
  const replay = async () => {
    try {
      const made = await data(api.POST("/api/v1/jobs/{job_id}/replay", { params }));
      toast({ text: t("replayed", { id: made.id.slice(-8) }), tone: "good" });
      navigate(`/jobs/${made.id}`);
    } catch (error) {
      toast({ text: error instanceof Error ? error.message : String(error), tone: "bad" });
    }
  };
  if (!may("jobs:write")) return null;
  const [action, word] = isFinished(job.status) ? [replay, "replay"] as const : [cancel, "cancel"] as const;
  return (
    <>
      <Button icon={word === "replay" ? "refresh" : "cancel"} kind={word === "replay" ? "plain" : "danger"} onClick={() => void action()}>{t(word)}</Button>
      <CopyAs label={t("copyAction")} call={{ method: "POST", path: `/api/v1/jobs/${job.id}/${word}`, cli: `imagemill jobs ${word} ${job.id}` }} />
    </>
  );
}

function Loaded({ job }: { job: Job }) {
  const t = useMessages(messages);
  const [tab, setTab] = useUrlState("tab", "events");
  const [live, setLive] = useState<ProgressNews | null>(null);
  useFeed({ progress: (news) => setLive((before) => news.find((each) => each.id === job.id) ?? before) });
  const params = { path: { job_id: job.id }, query: ownerQuery() };
  const events = useQuery({
    queryKey: ["job", job.id, "events"],
    queryFn: ({ signal }) => data(api.GET("/api/v1/jobs/{job_id}/events", { params: { ...params, query: { ...params.query, stream: false } }, signal })),
  });
  const graph = useQuery({ queryKey: ["job", job.id, "graph"], queryFn: ({ signal }) => data(api.GET("/api/v1/jobs/{job_id}/graph", { params, signal })) });
  const relations = useQuery({ queryKey: ["job", job.id, "relations"], queryFn: ({ signal }) => data(api.GET("/api/v1/jobs/{job_id}/relations", { params, signal })) });
  const delivered = (relations.data?.notices ?? []).flatMap((each) => (each.deliveredAt ? [Date.parse(each.deliveredAt)] : []));
  const list = typeof events.data === "object" ? events.data.items : [];
  const until = job.finishedAt ? Date.parse(job.finishedAt) : Date.now();
  const lanes = lanesOf(job, list, graph.data, delivered.length ? Math.max(...delivered) : null, until);
  const tabs = [
    { key: "events", label: t("events"), count: list.length },
    { key: "graph", label: t("graph"), count: graph.data?.nodes.length },
    { key: "placement", label: t("placement") },
    { key: "input", label: t("input") },
    { key: "deliveries", label: t("deliveries"), count: relations.data?.notices.length },
    { key: "ledger", label: t("ledger") },
    { key: "family", label: t("family") },
    { key: "json", label: "JSON" },
  ];
  return (
    <>
      <div class="job-top">
        <Pictures job={job} live={live} />
        <Facts job={job} />
      </div>
      {job.error && <Notice tone="bad"><p><strong>{job.error.code}</strong>: {job.error.message}</p><p>{job.error.advice}</p></Notice>}
      {job.waits && <Notice>{t("waits", { reason: job.waits })}</Notice>}
      {list.length > 0 && <Timeline lanes={lanes} />}
      <Tabs label={t("parts")} tabs={tabs} selected={tabs.some(({ key }) => key === tab) ? tab : "events"} onSelect={setTab}>
        {tab === "graph" ? (graph.data ? <GraphPanel graph={graph.data} /> : <Waiting what={t("graph")} />)
          : tab === "placement" ? <PlacementPanel id={job.id} />
          : tab === "input" ? <CopyText label={t("input")} text={JSON.stringify(job.input, null, 2)} />
          : tab === "json" ? <CopyText label="JSON" text={JSON.stringify(job, null, 2)} />
          : tab === "events" || !relations.data ? <Events events={list} createdAt={job.createdAt} />
          : tab === "deliveries" ? <Deliveries notices={relations.data.notices} />
          : tab === "ledger" ? <Ledger entries={relations.data.ledger} />
          : <Family relations={relations.data} replayOf={job.replayOf} replays={job.replays} />}
      </Tabs>
    </>
  );
}

function Pictures({ job, live }: { job: Job; live: ProgressNews | null }) {
  const t = useMessages(messages);
  const shown = job.artifacts.filter((each) => each.available && each.url);
  const isRunning = job.status === "running";
  const progress = live ?? job.progress;
  if (isRunning && progress) {
    return (
      <div class="job-pictures">
        {progress.preview ? <Picture src={progress.preview} alt={t("preview")} isContained /> : <div class="job-blank" />}
        <Progress progress={progress.progress} step={progress.step} total={progress.total} label={t("progress")} />
        {progress.note && <p class="soft small">{progress.note}</p>}
      </div>
    );
  }
  if (!shown.length) return <div class="job-pictures"><div class="job-blank"><p class="soft">{t(isFinished(job.status) ? "noPictures" : "noPicturesYet")}</p></div></div>;
  return (
    <div class={`job-pictures${shown.length > 1 ? " job-pictures-many" : ""}`}>
      {shown.map((each, number) => (
        <a key={each.id} href={each.url ?? ""} target="_blank" rel="noreferrer">
          {each.mediaType.startsWith("image/") ? <Picture src={each.url ?? ""} alt={t("picture", { number: number + 1 })} width={each.width} height={each.height} /> : <code>{each.mediaType}</code>}
        </a>
      ))}
    </div>
  );
}

function Facts({ job }: { job: Job }) {
  const t = useMessages(messages);
  const model = [job.input.model_path, job.input.model, job.input.checkpoint].find((each) => typeof each === "string" && each) as string | undefined;
  const [seed] = job.artifacts.flatMap((each) => (each.seed === null ? [] : [each.seed]));
  const facts: [string, preact.ComponentChildren][] = [
    [t("status"), <StatusBadge status={job.status} />],
    [t("recipe"), job.recipe],
    [t("model"), model?.split(/[\\/]/).pop()],
    [t("seed"), seed === undefined ? undefined : String(seed)],
    [t("owner"), job.owner],
    [t("node"), job.node && (may("nodes:read") ? <Link href={`/nodes?node=${encodeURIComponent(job.node)}`}>{job.node}</Link> : job.node)],
    [t("attempts"), t("attemptsOf", { attempt: job.attempt, failures: job.failures, most: job.maxFailures })],
    [t("created"), <span title={moment(job.createdAt)}>{ago(job.createdAt)}</span>],
    [t("cost"), number(job.cost)],
    [t("trace"), <code class="job-trace">{job.trace.split("-")[1]}</code>],
  ];
  return (
    <dl class="job-facts-list">
      {facts.map(([name, value]) => value !== undefined && value !== null && value !== "" && <div key={name}><dt>{name}</dt><dd>{value}</dd></div>)}
    </dl>
  );
}
