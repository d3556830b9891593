/** What an operator should look at now, as sentences. */
import { useQuery } from "@tanstack/react-query";
import { Link } from "wouter-preact";
import { type Schema, api, data } from "~/api/http";
import { duration, number, useMessages } from "~/app/i18n";
import { may } from "~/app/session";
import { Notice } from "~/parts/page";
import { messages } from "./messages";

type Stats = Schema<"Stats">;
const RECENT_STEPS = 5;
const HIGH_FAILURE_RATE = 0.2;
const LONG_WAIT_S = 300;

function recent(stats: Stats | undefined, series: string): number[] {
  return (stats?.items ?? []).filter((each) => each.series === series && each.key === "").flatMap((each) => each.values.filter((value): value is number => value !== null).slice(-RECENT_STEPS));
}

const sum = (values: number[]) => values.reduce((total, value) => total + value, 0);

export function Alerts({ stats }: { stats: Stats | undefined }) {
  const t = useMessages(messages);
  const health = useQuery({ queryKey: ["nodes", "health"], queryFn: ({ signal }) => data(api.GET("/api/v1/nodes", { signal })), enabled: may("nodes:read") });
  const processes = useQuery({ queryKey: ["nodes", "workers"], queryFn: ({ signal }) => data(api.GET("/api/v1/workers", { signal })), enabled: may("admin") });
  const pauses = useQuery({ queryKey: ["pauses"], queryFn: ({ signal }) => data(api.GET("/api/v1/pauses", { signal })) });
  const failed = sum(recent(stats, "failed"));
  const ended = failed + sum(recent(stats, "finished"));
  const age = recent(stats, "queue_age").at(-1) ?? 0;
  const lost = sum(recent(stats, "webhooks_failed"));
  const found: { key: string; text: string; href: string; tone: "bad" | "warn" }[] = [
    ...(health.data?.items ?? []).filter((node) => node.state === "troubled").map((node) => ({ key: `node-${node.name}`, text: t("alertNode", { name: node.name, trouble: node.trouble }), href: "/nodes", tone: "bad" as const })),
    ...(processes.data?.items ?? []).filter((each) => !each.healthy).map((each) => ({ key: each.name, text: t("alertProcess", { name: each.name, host: each.host }), href: "/nodes?tab=workers", tone: "bad" as const })),
    ...(processes.data && !processes.data.items.some((each) => each.leader && each.healthy) ? [{ key: "leader", text: t("alertLeader"), href: "/nodes?tab=workers", tone: "bad" as const }] : []),
    ...(ended > 0 && failed / ended >= HIGH_FAILURE_RATE ? [{ key: "failures", text: t("alertFailures", { count: failed, ended, rate: number(failed / ended, { style: "percent" }) }), href: "/failures", tone: "bad" as const }] : []),
    ...(age > LONG_WAIT_S ? [{ key: "age", text: t("alertAge", { time: duration(age) }), href: "/nodes?tab=outlook", tone: "warn" as const }] : []),
    ...(lost > 0 ? [{ key: "webhooks", text: t("alertWebhooks", { count: lost }), href: "/webhooks", tone: "warn" as const }] : []),
    ...(pauses.data?.items.length ? [{ key: "pauses", text: t("alertPauses", { count: pauses.data.items.length }), href: "/queue", tone: "warn" as const }] : []),
  ];
  if (!stats) return null;
  return (
    <section class="watch-alerts" aria-label={t("alerts")}>
      {found.length === 0 && <Notice tone="good">{t("allWell")}</Notice>}
      {found.map(({ key, text, href, tone }) => <Notice key={key} tone={tone} actions={<Link class="button button-quiet" href={href}>{t("look")}</Link>}>{text}</Notice>)}
    </section>
  );
}
