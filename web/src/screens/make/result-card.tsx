/** One job of the screen: why it waits, its preview and step, then its pictures and what can be done with them. */
import { copyText } from "~/parts/clipboard";
import { useQuery } from "@tanstack/react-query";
import { Link } from "wouter-preact";
import { Problem, type Schema, api, data } from "~/api/http";
import { isFinished, refresh } from "~/api/queries";
import { duration, useMessages } from "~/app/i18n";
import { may, ownerQuery } from "~/app/session";
import { toast, withUndo } from "~/app/toasts";
import { Button, ButtonLink, IconButton } from "~/parts/button";
import { Checkbox } from "~/parts/field";
import { Menu } from "~/parts/menu";
import { Notice, ProblemNotice } from "~/parts/page";
import { Picture } from "~/parts/picture";
import { Progress, StatusBadge } from "~/parts/status";
import { type Job, readJob } from "./draft";
import type { LiveProgress } from "./live-jobs";
import { messages } from "./messages";

export type Artifact = Schema<"ArtifactBody">;
export type PictureAction = "again" | "vary" | "upscale" | "asInput" | "change";

export interface Result {
  id: string;
  /** What is different in it from the others of its batch. */
  differs: string;
}

interface ResultCardProps {
  result: Result;
  live?: LiveProgress;
  onAction: (action: PictureAction, job: Job, artifact?: Artifact) => void;
  onRemove: () => void;
  isCompared: (url: string) => boolean;
  onCompare: (url: string) => void;
}

export function ResultCard({ result, live, onAction, onRemove, isCompared, onCompare }: ResultCardProps) {
  const t = useMessages(messages);
  const found = useQuery({ queryKey: ["job", result.id], queryFn: ({ signal }) => readJob(result.id, signal) });
  const job = found.data;
  if (found.error) {
    const isGone = found.error instanceof Problem && found.error.status === 404;
    return <li class="make-result">{isGone ? <Notice actions={<IconButton icon="close" label={t("clear")} onClick={onRemove} />}>{t("noJob", { id: result.id.slice(-8) })}</Notice> : <ProblemNotice error={found.error} onRetry={() => void found.refetch()} />}</li>;
  }
  if (!job) return <li class="make-result"><div class="make-blank" /></li>;
  const prompt = promptOf(job);
  const pictures = job.artifacts.filter((artifact) => artifact.url && artifact.mediaType.startsWith("image/"));
  return (
    <li class="make-result" data-job={job.id} data-status={job.status}>
      {pictures.map((artifact) => (
        <PictureResult key={artifact.id} {...{ job, artifact, prompt, onAction, isCompared, onCompare }} />
      ))}
      {!isFinished(job.status) && <Unfinished job={job} live={live} prompt={prompt} />}
      {job.status === "failed" && (
        <Notice tone="bad" actions={<Button icon="refresh" onClick={() => onAction("again", job)}>{t("again")}</Button>}>
          <p>{t("failed", { message: job.error?.message ?? "" })}</p>
          <p>{job.error?.advice}</p>
        </Notice>
      )}
      <p class="make-caption">
        {!pictures.length && <StatusBadge status={job.status} />}
        {result.differs && <b>{result.differs}</b>}
        <Link href={`/jobs/${job.id}`} title={t("openJob")}>{prompt || job.recipe}</Link>
      </p>
    </li>
  );
}

export function promptOf(job: Job): string {
  const input = job.input as { prompt?: unknown; values?: { prompt?: unknown } };
  return String(input.prompt ?? input.values?.prompt ?? "");
}

function sizeOf(job: Job): { width: number; height: number } {
  const { width, height } = job.input as { width?: unknown; height?: unknown };
  return typeof width === "number" && typeof height === "number" ? { width, height } : { width: 1, height: 1 };
}

/** A job that waits or runs. */
function Unfinished({ job, live, prompt }: { job: Job; live?: LiveProgress; prompt: string }) {
  const t = useMessages(messages);
  const { width, height } = sizeOf(job);
  const cancel = () =>
    withUndo(t("canceled", { count: 1 }), async () => {
      await data(api.POST("/api/v1/jobs/{job_id}/cancel", { params: { path: { job_id: job.id }, query: ownerQuery() } }));
      refresh("jobs", "counts");
    });
  const preview = live?.preview ?? job.progress?.preview;
  const step = live ?? job.progress;
  return (
    <>
      <div class="make-picture" style={{ aspectRatio: `${width} / ${height}` }}>
        {preview ? <img class="make-preview" src={preview} alt={t("preview", { prompt })} /> : <div class="make-blank" />}
        {may("jobs:write") && <span class="make-corner"><IconButton icon="close" label={t("cancel")} onClick={cancel} /></span>}
      </div>
      {job.status === "running" || step ? (
        <div class="make-progress">
          <Progress progress={step?.progress ?? 0} step={step?.step} total={step?.total} label={prompt} />
          {live?.leftS !== null && live?.leftS !== undefined && live.leftS >= 1 && <span>{t("eta", { time: duration(live.leftS) })}</span>}
        </div>
      ) : (
        <p class="make-waits">{job.waits ? t("waits", { reason: job.waits }) : t("position")}</p>
      )}
    </>
  );
}

interface PictureResultProps extends Pick<ResultCardProps, "onAction" | "isCompared" | "onCompare"> {
  job: Job;
  artifact: Artifact;
  prompt: string;
}

function PictureResult({ job, artifact, prompt, onAction, isCompared, onCompare }: PictureResultProps) {
  const t = useMessages(messages);
  const url = artifact.url ?? "";
  const copy = () => void copyText(JSON.stringify({ recipe: job.recipe, input: job.input }, null, 2)).then(() => toast({ text: t("copied") }));
  const remove = () =>
    withUndo(t("deleted"), async () => {
      await data(api.DELETE("/api/v1/artifacts/{artifact_id}", { params: { path: { artifact_id: artifact.id }, query: ownerQuery() } }));
      refresh("job", "artifacts");
    });
  return (
    <figure class="make-picture">
      <a href={url} target="_blank" rel="noopener"><Picture src={url} alt={t("made", { prompt: prompt || job.recipe })} width={artifact.width} height={artifact.height} /></a>
      <figcaption class="make-actions">
        <Button icon="refresh" kind="quiet" onClick={() => onAction("again", job, artifact)}>{t("again")}</Button>
        <Button icon="make" kind="quiet" onClick={() => onAction("vary", job, artifact)}>{t("vary")}</Button>
        <Button icon="zoom" kind="quiet" onClick={() => onAction("upscale", job, artifact)}>{t("upscale")}</Button>
        <Menu label={t("more2")} items={[
          { label: t("change"), icon: "edit", onSelect: () => onAction("change", job, artifact) },
          { label: t("asInput"), icon: "upload", onSelect: () => onAction("asInput", job, artifact) },
          { label: t("copyParameters"), icon: "copy", onSelect: copy },
          { label: t("remove"), icon: "delete", isDanger: true, onSelect: remove, blocked: may("jobs:write") ? undefined : "jobs:write" },
        ]} />
      </figcaption>
      <div class="make-below">
        <ButtonLink href={url} icon="download" kind="quiet" isDownload>{t("download")}</ButtonLink>
        <Checkbox label={<><span aria-hidden="true">{t("compare")}</span><span class="visually-hidden">{t("comparePick")}</span></>} isChecked={isCompared(url)} onChange={() => onCompare(url)} />
      </div>
    </figure>
  );
}
