/** The charts of the installation's own counters. */
import { useMemo } from "preact/hooks";
import type { Schema } from "~/api/http";
import { duration, moment, number, useMessages } from "~/app/i18n";
import { Chart, type Line } from "~/parts/chart";
import { messages } from "./messages";

type Stats = Schema<"Stats">;
type Key = "jobs" | "queueAge" | "failureRate" | "waiting" | "stages" | "busy" | "queued" | "webhooks";

interface ChartSpec {
  title: Key;
  /** Series -> the key of its message; null names each line by its own key. */
  series: [string, "submitted" | "finished" | "failed" | "median" | "p95" | "running" | "age" | "rate" | "queuedJobs" | "loads" | "sent" | "notSent" | null][];
  format: (value: number) => string;
}

const COLOURS = ["--accent", "--good", "--bad", "--warn", "--line-strong", "--text-soft"];
const percent = (value: number) => number(value, { style: "percent", maximumFractionDigits: 0 });
const count = (value: number) => number(value, { maximumFractionDigits: 1 });
const CHARTS: ChartSpec[] = [
  { title: "jobs", series: [["submitted", "submitted"], ["finished", "finished"], ["failed", "failed"]], format: count },
  { title: "queueAge", series: [["queue_age", "age"]], format: duration },
  { title: "failureRate", series: [["failure_rate", "rate"]], format: percent },
  { title: "waiting", series: [["waiting_p50", "median"], ["waiting_p95", "p95"], ["running_p95", "running"]], format: duration },
  { title: "stages", series: [["stage_p95", null]], format: duration },
  { title: "busy", series: [["node_busy", null]], format: percent },
  { title: "queued", series: [["queued", "queuedJobs"], ["model_loads", "loads"]], format: count },
  { title: "webhooks", series: [["webhooks_sent", "sent"], ["webhooks_failed", "notSent"]], format: count },
];
const MOST_LINES = 6;

export function Charts({ stats }: { stats: Stats }) {
  const t = useMessages(messages);
  return (
    <>
      <p class="soft small">{stats.countedTo ? t("countedTo", { at: moment(stats.countedTo) }) : t("notCounted")}</p>
      <div class="watch-charts">{CHARTS.map((spec) => <OneChart key={spec.title} spec={spec} stats={stats} />)}</div>
    </>
  );
}

function OneChart({ spec, stats }: { spec: ChartSpec; stats: Stats }) {
  const t = useMessages(messages);
  const lines = useMemo(
    () =>
      spec.series
        .flatMap(([series, label]) => stats.items.filter((each) => each.series === series).map((each): Omit<Line, "colour"> => ({ label: label ? t(label) : each.key, values: each.values })))
        .slice(0, MOST_LINES)
        .map((line, index): Line => ({ ...line, colour: (spec.title === "jobs" ? ["--line-strong", "--good", "--bad"] : COLOURS)[index] ?? "--accent" })),
    [spec, stats, t],
  );
  const times = useMemo(() => {
    const start = Date.parse(stats.from) / 1000;
    return (lines[0]?.values ?? []).map((_, index) => start + index * stats.stepS);
  }, [stats, lines]);
  const newest = lines.map((line) => ({ label: line.label, value: line.values.filter((value) => value !== null).at(-1) }));
  const summary = newest.map(({ label, value }) => `${label}: ${value === undefined ? t("nothing") : spec.format(value)}`).join(", ");
  const isEmpty = lines.every((line) => line.values.every((value) => value === null));
  return (
    <article class="watch-chart">
      <h3>{t(spec.title)}</h3>
      <p class="watch-now small">{summary || t("nothing")}</p>
      {!isEmpty && <Chart label={`${t(spec.title)}. ${summary}`} times={times} lines={lines} format={spec.format} />}
    </article>
  );
}
