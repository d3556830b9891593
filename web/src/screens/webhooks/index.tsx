/** Webhooks: the endpoints with their state; one of them with its messages. */
import { useQuery } from "@tanstack/react-query";
import { useState } from "preact/hooks";
import { Link, useParams } from "wouter-preact";
import { type Schema, api, data } from "~/api/http";
import { refresh } from "~/api/queries";
import { ago, moment, useMessages } from "~/app/i18n";
import { messages as names } from "~/app/messages";
import { may, useSession } from "~/app/session";
import { Button } from "~/parts/button";
import { Empty, Page, ProblemNotice, Waiting } from "~/parts/page";
import { Detail } from "./detail";
import { EndpointForm } from "./endpoint-form";
import { messages } from "./messages";
import "./style.css";

export type Endpoint = Schema<"EndpointInfo">;

export default function Webhooks() {
  const { id } = useParams<{ id?: string }>();
  return id === undefined ? <Endpoints /> : <Detail id={decodeURIComponent(id)} />;
}

const FOLLOWED_MS = [0, 1000, 3000, 8000];

/** Read messages again after something was sent: the answer comes a moment later, and no event tells of it. */
export function followDelivery(): void {
  for (const wait of FOLLOWED_MS) setTimeout(() => refresh("webhooks"), wait);
}

/** Return the query that names the owner whose webhooks are shown, for administrators; never all owners. */
export function useOwner(): { owner?: string } {
  const { owner, me } = useSession();
  return owner && owner !== "*" && owner !== me?.owner && may("admin") ? { owner } : {};
}

function Endpoints() {
  const t = useMessages(messages);
  const n = useMessages(names);
  const query = useOwner();
  const [isAdding, setAdding] = useState(false);
  const found = useQuery({ queryKey: ["webhooks", "list", query], queryFn: ({ signal }) => data(api.GET("/api/v1/webhooks", { params: { query }, signal })) });
  const items = found.data?.items ?? [];
  const add = may("account:write") && !query.owner && <Button kind="primary" icon="add" onClick={() => setAdding(true)}>{t("add")}</Button>;
  return (
    <Page title={n("webhooks")} actions={add} call={{ method: "GET", path: "/api/v1/webhooks", cli: "imagemill webhooks list" }}>
      {found.error && <ProblemNotice error={found.error} onRetry={() => void found.refetch()} />}
      {found.isPending && <Waiting what={n("webhooks")} />}
      {found.data && !items.length && (
        <Empty icon="webhooks" title={t("none")}>
          <p class="soft">{t("noneHint")}</p>
          {add}
        </Empty>
      )}
      <ul class="webhooks-list">
        {items.map((endpoint) => (
          <li key={endpoint.id} class="card webhooks-card">
            <div class="webhooks-line">
              <StateBadge endpoint={endpoint} />
              <Link href={`/webhooks/${endpoint.id}`} class="webhooks-url">{endpoint.url}</Link>
            </div>
            {endpoint.description && <p>{endpoint.description}</p>}
            <StateReason endpoint={endpoint} />
            <p class="soft small">{endpoint.events.join(", ")}</p>
          </li>
        ))}
      </ul>
      <EndpointForm isOpen={isAdding} onClose={() => setAdding(false)} />
    </Page>
  );
}

const TONES = { active: "status-succeeded", failing: "webhooks-state-failing", paused: "status-failed" } as const;

export function StateBadge({ endpoint }: { endpoint: Endpoint }) {
  const t = useMessages(messages);
  return <span class={`status ${TONES[endpoint.state]}`}>{t(endpoint.state)}</span>;
}

/** Why an endpoint gets no messages, and since when. */
export function StateReason({ endpoint }: { endpoint: Endpoint }) {
  const t = useMessages(messages);
  if (endpoint.pausedAt) return <p class="webhooks-bad" title={moment(endpoint.pausedAt)}>{t("pausedSince", { time: ago(endpoint.pausedAt), reason: endpoint.pauseReason ?? t("byHand") })}</p>;
  if (endpoint.failingSince) return <p class="webhooks-warn" title={moment(endpoint.failingSince)}>{t("failingSince", { time: ago(endpoint.failingSince) })}</p>;
  return null;
}
