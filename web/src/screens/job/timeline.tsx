/** The timeline of a job: attempts under each other, waiting shaded apart from work. */
import { duration, useMessages } from "~/app/i18n";
import { messages } from "./messages";
import type { Lane, PartName } from "./stages";

const LEAST_PERCENT = 0.4;

export function Timeline({ lanes }: { lanes: Lane[] }) {
  const t = useMessages(messages);
  const parts = lanes.flatMap((lane) => lane.parts);
  const start = Math.min(...parts.map((part) => part.start));
  const end = Math.max(...parts.map((part) => part.end), start + 1);
  const place = (at: number) => (100 * (at - start)) / (end - start);
  const sums = new Map<PartName, { ms: number; isWait: boolean }>();
  for (const { name, isWait, ...part } of parts) sums.set(name, { ms: (sums.get(name)?.ms ?? 0) + part.end - part.start, isWait });
  return (
    <section class="job-timeline" aria-label={t("timeline")}>
      <h2>{t("timeline")} <span class="soft small">{duration((end - start) / 1000)}</span></h2>
      {lanes.map((lane, number) => (
        <div key={number} class="job-lane">
          <span class="job-lane-name small">
            {lane.attempt ? t("attempt", { number: lane.attempt }) : t("notStarted")}
            {lane.node && <span class="soft"> {lane.node}</span>}
          </span>
          <div class="job-lane-bar">
            {lane.parts.map((part) => (
              <span key={`${part.name}${part.start}`} class={`job-part job-part-${part.name}`} title={`${t(part.name)}: ${duration((part.end - part.start) / 1000)}`}
                style={{ left: `${place(part.start)}%`, width: `${Math.max(LEAST_PERCENT, place(part.end) - place(part.start))}%` }} />
            ))}
          </div>
        </div>
      ))}
      <ul class="job-legend small">
        {[...sums].map(([name, { ms }]) => (
          <li key={name}><span class={`job-key job-part-${name}`} aria-hidden="true" />{t(name)} <strong>{duration(ms / 1000)}</strong></li>
        ))}
      </ul>
    </section>
  );
}
