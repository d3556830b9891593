/** The queue: the jobs with their states. */
import { useQuery } from "@tanstack/react-query";
import { Link } from "wouter-preact";
import { type Schema, api, data } from "~/api/http";
import { isFinished, refresh } from "~/api/queries";
import { ago, useMessages } from "~/app/i18n";
import { messages as names } from "~/app/messages";
import { may, ownerQuery, useSession } from "~/app/session";
import { useUrlState } from "~/app/state";
import { withUndo } from "~/app/toasts";
import { Button, ButtonLink } from "~/parts/button";
import { Select } from "~/parts/field";
import { Empty, Page, ProblemNotice, Waiting } from "~/parts/page";
import { STATUSES, StatusBadge, useStatusName } from "~/parts/status";
import { VirtualList } from "~/parts/virtual-list";
import { messages } from "./messages";
import "./style.css";

type Job = Schema<"JobBody">;
const ROW_PX = 44;

export default function Queue() {
  const t = useMessages(messages);
  const n = useMessages(names);
  const statusName = useStatusName();
  const { owner } = useSession();
  const [status, setStatus] = useUrlState("status");
  const query = { limit: 100, ...(status ? { status: [status] } : {}), ...ownerQuery() };
  const found = useQuery({
    queryKey: ["jobs", owner, status],
    queryFn: ({ signal }) => data(api.GET("/api/v1/jobs", { params: { query }, signal })),
  });
  const jobs = found.data?.items ?? [];
  return (
    <Page title={n("queue")} call={{ method: "GET", path: `/api/v1/jobs${status ? `?status=${status}` : ""}`, cli: `imagemill jobs list${status ? ` --status ${status}` : ""}` }}>
      <Select label={t("jobs")} isLabelHidden value={status} onChange={setStatus} options={[{ value: "", label: t("jobs") }, ...STATUSES.map((value) => ({ value, label: statusName(value) }))]} />
      {found.error && <ProblemNotice error={found.error} onRetry={() => void found.refetch()} />}
      {found.isPending && <Waiting what={t("jobs")} />}
      {found.data && !jobs.length && <Empty icon="queue" title={t("none")}><ButtonLink href="/" kind="primary" icon="make">{t("makeOne")}</ButtonLink></Empty>}
      {jobs.length > 0 && <p>{t("jobsShown", { count: jobs.length })}</p>}
      <VirtualList label={t("jobs")} items={jobs} keyOf={(job) => job.id} rowHeight={ROW_PX}>{(job) => <Row job={job} />}</VirtualList>
    </Page>
  );
}

function Row({ job }: { job: Job }) {
  const t = useMessages(messages);
  const cancel = () =>
    withUndo(t("canceled"), async () => {
      await data(api.POST("/api/v1/jobs/{job_id}/cancel", { params: { path: { job_id: job.id }, query: ownerQuery() } }));
      refresh("jobs", "counts");
    });
  return (
    <div class="queue-row">
      <StatusBadge status={job.status} />
      <Link href={`/jobs/${job.id}`}>{job.recipe}</Link>
      <span>{ago(job.createdAt)}</span>
      {!isFinished(job.status) && may("jobs:write") && <Button kind="quiet" onClick={cancel}>{t("cancel")}</Button>}
    </div>
  );
}
