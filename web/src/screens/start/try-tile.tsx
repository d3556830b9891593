/** A first picture: the prompt is filled, Enter makes it, and its timeline stands beneath. */
import { useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "preact/hooks";
import { api, data } from "~/api/http";
import { isFinished, refresh } from "~/api/queries";
import { duration, useMessages } from "~/app/i18n";
import { may } from "~/app/session";
import { useDraft } from "~/app/state";
import { Button, ButtonLink } from "~/parts/button";
import { TextArea } from "~/parts/field";
import { Notice, ProblemNotice } from "~/parts/page";
import { Picture } from "~/parts/picture";
import { Progress } from "~/parts/status";
import { type Job, readJob, submit } from "~/screens/make/draft";
import { useLiveProgress } from "~/screens/make/live-jobs";
import { messages } from "./messages";

const PROMPT = "a lighthouse on a cliff at dawn, thin fog, soft light";

export function TryTile() {
  const t = useMessages(messages);
  const [prompt, setPrompt] = useDraft("start.prompt", PROMPT);
  const [id, setId] = useDraft("start.job", "");
  const [problem, setProblem] = useState<unknown>(null);
  const make = () => {
    setProblem(null);
    submit("textToImage", { prompt }).then((job) => {
      setId(job.id);
      refresh("jobs", "counts");
    }, setProblem);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    make();
  };
  return (
    <section class="card start-tile" aria-labelledby="start-try">
      <h2 id="start-try">{t("tryTitle")}</h2>
      <p>{t("tryText")}</p>
      <div onKeyDown={onKeyDown}><TextArea label={t("tryPrompt")} rows={2} value={prompt} onInput={setPrompt} enterkeyhint="go" /></div>
      <div><Button kind="primary" icon="make" onClick={make} blocked={may("jobs:write") ? undefined : "jobs:write"}>{t("tryGo")}</Button></div>
      {problem !== null && <ProblemNotice error={problem} onRetry={make} />}
      {id && <FirstPicture id={id} prompt={prompt} />}
    </section>
  );
}

function FirstPicture({ id, prompt }: { id: string; prompt: string }) {
  const t = useMessages(messages);
  const ids = useMemo(() => [id], [id]);
  const live = useLiveProgress(ids).get(id);
  const found = useQuery({ queryKey: ["job", id], queryFn: ({ signal }) => readJob(id, signal), retry: false });
  const job = found.data;
  if (!job) return null;
  const picture = job.artifacts.find((artifact) => artifact.url);
  return (
    <div class="start-picture">
      {picture?.url ? <Picture src={picture.url} alt={prompt} width={picture.width} height={picture.height} /> : live?.preview ? <img class="picture" src={live.preview} alt={prompt} /> : null}
      {!isFinished(job.status) && <Progress progress={live?.progress ?? 0} step={live?.step} total={live?.total} label={prompt} />}
      {job.status === "failed" && <Notice tone="bad">{job.error?.message} {job.error?.advice}</Notice>}
      <Timeline job={job} />
      {job.status === "succeeded" && (
        <p class="start-links"><ButtonLink href="/" kind="primary" icon="make">{t("goOn")}</ButtonLink><ButtonLink href={`/jobs/${job.id}`}>{t("openJob")}</ButtonLink></p>
      )}
    </div>
  );
}

/** The stages of a job, from its own event log. */
function Timeline({ job }: { job: Job }) {
  const t = useMessages(messages);
  const found = useQuery({
    queryKey: ["job", job.id, "events", job.lastEvent.seq],
    queryFn: ({ signal }) => data(api.GET("/api/v1/jobs/{job_id}/events", { params: { path: { job_id: job.id }, query: { stream: false } }, signal })),
  });
  const events = typeof found.data === "object" ? found.data.items : [];
  const claimed = events.find((event) => event.type === "Claimed");
  const first = events[0];
  const last = events[events.length - 1];
  const stages = (last?.data.stages as { stage: string; ms: number }[] | undefined) ?? [];
  const seconds = (from: string, to: string) => (new Date(to).getTime() - new Date(from).getTime()) / 1000;
  return (
    <ol class="start-timeline" aria-label={t("timeline")}>
      <li>{claimed && first ? t("stage", { name: t("queued"), time: duration(seconds(first.at, claimed.at)) }) : t("queued")}</li>
      {claimed && <li>{t("running", { node: String(claimed.data.node ?? "").split(".")[0] ?? "" })}</li>}
      {stages.map((each) => <li key={each.stage}><code>{each.stage}</code> {duration(each.ms / 1000)}</li>)}
      {job.finishedAt && <li>{t("succeeded", { time: duration(seconds(job.createdAt, job.finishedAt)) })}</li>}
    </ol>
  );
}
