/** One run of a graph that is not published. */
import { useQuery } from "@tanstack/react-query";
import { useState } from "preact/hooks";
import { Link } from "wouter-preact";
import { useFeed } from "~/api/feed";
import { api, data } from "~/api/http";
import { isFinished } from "~/api/queries";
import { useMessages } from "~/app/i18n";
import { Button } from "~/parts/button";
import { Notice, ProblemNotice } from "~/parts/page";
import { Picture } from "~/parts/picture";
import { Progress, StatusBadge } from "~/parts/status";
import { messages } from "./messages";
import { type FoundInput, withValues } from "./source";

export function TestRun({ graph, inputs }: { graph: Record<string, unknown>; inputs: FoundInput[] }) {
  const t = useMessages(messages);
  const [id, setId] = useState("");
  const [error, setError] = useState<unknown>(null);
  const [isBusy, setBusy] = useState(false);
  const run = async () => {
    setBusy(true);
    setError(null);
    try {
      const body = { recipe: "comfy", input: { graph: withValues(graph, inputs) }, priority: 0, properties: {}, labels: [], private: false };
      const job = await data(api.POST("/api/v1/jobs", { body }));
      if ("id" in job) setId(job.id);
    } catch (failure) {
      setError(failure);
    } finally {
      setBusy(false);
    }
  };
  return (
    <section class="card graph-import-part" aria-label={t("test")}>
      <div class="graph-import-test">
        <div>
          <h2>{t("test")}</h2>
          <p class="soft small">{t("testHint")}</p>
        </div>
        <Button icon="test" isBusy={isBusy} onClick={() => void run()}>{t("test")}</Button>
      </div>
      {error !== null && <ProblemNotice error={error} />}
      {id && <Result key={id} id={id} />}
    </section>
  );
}

function Result({ id }: { id: string }) {
  const t = useMessages(messages);
  const [progress, setProgress] = useState({ progress: 0, step: 0, total: 0 });
  const job = useQuery({ queryKey: ["job", id], queryFn: ({ signal }) => data(api.GET("/api/v1/jobs/{job_id}", { params: { path: { job_id: id } }, signal })) });
  useFeed({
    jobs: (news) => news.some((each) => each.id === id) && void job.refetch(),
    progress: (news) => {
      const own = news.find((each) => each.id === id);
      if (own) setProgress(own);
    },
    reset: () => void job.refetch(),
  });
  if (job.error) return <ProblemNotice error={job.error} onRetry={() => void job.refetch()} />;
  if (!job.data) return null;
  const { status, error, artifacts } = job.data;
  return (
    <div class="graph-import-result">
      <p><StatusBadge status={status} /> <Link href={`/jobs/${id}`}>{id.slice(0, 8)}</Link></p>
      {!isFinished(status) && <Progress label={t("testing")} progress={progress.progress} step={progress.step} total={progress.total} />}
      {error && <Notice tone="bad">{error.message}</Notice>}
      {artifacts.map((artifact) => artifact.url && <Picture key={artifact.id} src={artifact.url} alt={t("picture")} width={artifact.width} height={artifact.height} isContained />)}
    </div>
  );
}
