/** The events of a job, its deliveries, its ledger and the jobs around it. */
import type { ComponentChildren } from "preact";
import { Link } from "wouter-preact";
import type { Schema } from "~/api/http";
import { duration, moment, number, useMessages } from "~/app/i18n";
import { StatusBadge } from "~/parts/status";
import { messages } from "./messages";

type JobEvent = Schema<"EventBody">;
type Relations = Schema<"JobRelationsBody">;
type Related = Schema<"RelatedJobBody">;

function Table({ caption, heads, children }: { caption: string; heads: string[]; children: ComponentChildren }) {
  return (
    <div class="table-scroll" tabIndex={0} role="region" aria-label={caption}>
      <table>
        <caption class="visually-hidden">{caption}</caption>
        <thead><tr>{heads.map((head) => <th key={head} scope="col">{head}</th>)}</tr></thead>
        <tbody>{children}</tbody>
      </table>
    </div>
  );
}

function factsOf(event: JobEvent): string {
  const { data } = event;
  const error = data.error as { code?: string; message?: string } | undefined;
  if (error) return `${error.code}: ${error.message}`;
  if (typeof data.step === "number") return `${data.step}/${String(data.total)}`;
  return [data.node, data.reason].filter((each) => typeof each === "string").join(": ");
}

export function Events({ events, createdAt }: { events: JobEvent[]; createdAt: string }) {
  const t = useMessages(messages);
  const start = Date.parse(createdAt);
  return (
    <Table caption={t("events")} heads={["#", t("event"), t("time"), t("attemptHead"), t("details")]}>
      {events.map((event) => (
        <tr key={event.seq}>
          <td>{event.seq}</td>
          <td>{event.type}</td>
          <td class="job-time" title={moment(event.at)}>+{duration(Math.max(0, (Date.parse(event.at) - start) / 1000))}</td>
          <td>{event.attempt || ""}</td>
          <td class="job-facts">{factsOf(event)}</td>
        </tr>
      ))}
    </Table>
  );
}

export function Deliveries({ notices }: { notices: Relations["notices"] }) {
  const t = useMessages(messages);
  if (!notices.length) return <p class="soft">{t("noDeliveries")}</p>;
  return (
    <Table caption={t("deliveries")} heads={[t("event"), t("address"), t("tries"), t("state")]}>
      {notices.map((each) => (
        <tr key={`${each.event}${each.message ?? "callback"}`}>
          <td>{each.event}</td>
          <td>{each.webhook ? <Link href={`/webhooks/${each.webhook}`}>{each.url}</Link> : each.url}</td>
          <td>{each.tries}</td>
          <td>
            {each.deliveredAt ? t("deliveredAt", { at: moment(each.deliveredAt) }) : each.dueAt ? t("dueAt", { at: moment(each.dueAt) }) : t("givenUp")}
            {each.lastError && !each.deliveredAt && <div class="soft small">{each.lastError}</div>}
          </td>
        </tr>
      ))}
    </Table>
  );
}

export function Ledger({ entries }: { entries: Relations["ledger"] }) {
  const t = useMessages(messages);
  if (!entries.length) return <p class="soft">{t("noLedger")}</p>;
  return (
    <Table caption={t("ledger")} heads={[t("time"), t("kind"), t("available"), t("held")]}>
      {entries.map((each) => (
        <tr key={each.number}><td>{moment(each.at)}</td><td>{each.kind}</td><td>{number(each.available)}</td><td>{number(each.held)}</td></tr>
      ))}
    </Table>
  );
}

export function Family({ relations, replayOf, replays }: { relations: Relations; replayOf: string | null; replays: number }) {
  const t = useMessages(messages);
  const groups = [
    [t("needs"), relations.needs],
    [t("neededBy"), relations.neededBy],
    [t("siblings"), relations.siblings],
  ] as const;
  const isAlone = groups.every(([, jobs]) => !jobs.length) && !replayOf && !replays;
  if (isAlone) return <p class="soft">{t("alone")}</p>;
  return (
    <div class="job-family">
      {replayOf && <p>{t("replayOf")} <Link href={`/jobs/${replayOf}`}>{replayOf}</Link></p>}
      {replays > 0 && <p>{t("replays", { count: replays })}</p>}
      {groups.map(([title, jobs]) => jobs.length > 0 && <RelatedJobs key={title} title={title} jobs={jobs} />)}
    </div>
  );
}

function RelatedJobs({ title, jobs }: { title: string; jobs: Related[] }) {
  return (
    <section>
      <h3>{title}</h3>
      <ul class="job-related">
        {jobs.map((job) => (
          <li key={job.id}><StatusBadge status={job.status} /> <Link href={`/jobs/${job.id}`}>{job.recipe}</Link> <code class="soft small">{job.id.slice(-8)}</code></li>
        ))}
      </ul>
    </section>
  );
}
