/** Watch: what is wrong now, the doctor, charts of the installation's own counters, and the settings that differ. */
import { useQuery } from "@tanstack/react-query";
import { useMemo } from "preact/hooks";
import { api, data } from "~/api/http";
import { useMessages } from "~/app/i18n";
import { messages as names } from "~/app/messages";
import { ownerQuery, useSession } from "~/app/session";
import { useUrlState } from "~/app/state";
import { Select } from "~/parts/field";
import { Page, ProblemNotice, Waiting } from "~/parts/page";
import { Alerts } from "./alerts";
import { Charts } from "./charts";
import { Doctor } from "./doctor";
import { messages } from "./messages";
import { SettingsInUse } from "./settings";
import "./style.css";

const SPANS = { "1h": 3600, "6h": 6 * 3600, "1d": 86_400, "7d": 7 * 86_400, "90d": 90 * 86_400 } as const;
const SERIES = ["submitted", "finished", "failed", "failure_rate", "waiting_p50", "waiting_p95", "running_p95", "stage_p95", "queue_age", "queued", "node_busy", "model_loads", "webhooks_sent", "webhooks_failed"];
const MINUTE_MS = 60_000;

export default function Watch() {
  const t = useMessages(messages);
  const n = useMessages(names);
  const { owner } = useSession();
  const [span, setSpan] = useUrlState("span", "1h");
  const seconds = SPANS[span as keyof typeof SPANS] ?? 3600;
  const stats = useQuery({
    queryKey: ["stats", "watch", span, owner],
    staleTime: MINUTE_MS,
    queryFn: ({ signal }) => {
      const now = Date.now();
      const query = { series: [SERIES.join(",")], from: new Date(now - seconds * 1000).toISOString(), to: new Date(now).toISOString(), ...ownerQuery() };
      return data(api.GET("/api/v1/stats", { params: { query }, signal }));
    },
  });
  const options = useMemo(() => Object.keys(SPANS).map((value) => ({ value, label: t(value as keyof typeof SPANS) })), [t]);
  return (
    <Page title={n("watch")} call={{ method: "GET", path: `/api/v1/stats?series=${SERIES.join(",")}`, cli: "imagemill stats" }}>
      <Alerts stats={stats.data} />
      <section class="watch-section" aria-label={t("charts")}>
        <header class="watch-head">
          <h2>{t("charts")}</h2>
          <Select label={t("span")} isLabelHidden value={span} onChange={setSpan} options={options} />
        </header>
        {stats.error && <ProblemNotice error={stats.error} onRetry={() => void stats.refetch()} />}
        {stats.isPending && <Waiting what={t("charts")} />}
        {stats.data && <Charts stats={stats.data} />}
      </section>
      <Doctor />
      <SettingsInUse />
    </Page>
  );
}
