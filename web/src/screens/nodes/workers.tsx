/** The processes of the installation, a row each. */
import { useQuery } from "@tanstack/react-query";
import { Link } from "wouter-preact";
import { api, data } from "~/api/http";
import { ago, moment, useMessages } from "~/app/i18n";
import { ProblemNotice, Waiting } from "~/parts/page";
import { messages } from "./messages";

export function Workers() {
  const t = useMessages(messages);
  const found = useQuery({ queryKey: ["nodes", "workers"], queryFn: ({ signal }) => data(api.GET("/api/v1/workers", { signal })) });
  if (found.error) return <ProblemNotice error={found.error} onRetry={() => void found.refetch()} />;
  if (!found.data) return <Waiting what={t("workers")} />;
  return (
    <div class="table-scroll" tabIndex={0} role="region" aria-label={t("workers")}>
      <table>
        <thead><tr>{(["process", "roles", "host", "version", "since", "heartbeat", "runningJobs"] as const).map((head) => <th key={head} scope="col">{t(head)}</th>)}</tr></thead>
        <tbody>
          {found.data.items.map((each) => (
            <tr key={each.name}>
              <td><code>{each.name}</code></td>
              <td>{each.roles.join(", ")} {each.leader && <span class="nodes-leader">{t("leader")}</span>}{each.queues && <div class="soft small">{t("queues", { queues: each.queues.join(", ") })}</div>}</td>
              <td>{each.host} <span class="soft small">{each.pid}</span></td>
              <td>{each.version}</td>
              <td title={moment(each.startedAt)}>{ago(each.startedAt)}</td>
              <td class={each.healthy ? undefined : "nodes-lost"}>{each.healthy ? ago(each.seenAt) : t("lost", { ago: ago(each.seenAt) })}</td>
              <td>{each.jobs.length === 0 ? "0" : each.jobs.slice(0, 3).map((id) => <Link key={id} href={`/jobs/${id}`} class="nodes-job">{id.slice(-8)}</Link>)}{each.jobs.length > 3 && <span class="soft"> +{each.jobs.length - 3}</span>}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
