/** One endpoint: what it may do next, its messages, and what each attempt sent and was answered. */
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useState } from "preact/hooks";
import { Link, useLocation } from "wouter-preact";
import { type Schema, api, data } from "~/api/http";
import { refresh } from "~/api/queries";
import { ago, moment, number, useMessages } from "~/app/i18n";
import { messages as names } from "~/app/messages";
import { may } from "~/app/session";
import { useUrlState } from "~/app/state";
import { toast } from "~/app/toasts";
import { Button, ButtonLink } from "~/parts/button";
import { ConfirmButton } from "~/parts/confirm";
import { Select } from "~/parts/field";
import { Menu } from "~/parts/menu";
import { Empty, Page, ProblemNotice, Waiting } from "~/parts/page";
import { Table } from "~/parts/table";
import { EVENTS, EndpointForm, SecretDialog } from "./endpoint-form";
import { StateBadge, StateReason, followDelivery, useOwner } from "./index";
import { MessagePanel } from "./message-panel";
import { messages } from "./messages";
import { ResendFailed } from "./resend-failed";

type Message = Schema<"MessageInfo">;
const STATES = { waiting: "running", delivered: "succeeded", failed: "failed" } as const;

export function Detail({ id }: { id: string }) {
  const t = useMessages(messages);
  const n = useMessages(names);
  const [, navigate] = useLocation();
  const query = useOwner();
  const place = { path: { webhook_id: id }, query };
  const [secret, setSecret] = useState("");
  const [isEditing, setEditing] = useState(false);
  const found = useQuery({ queryKey: ["webhooks", id, query], queryFn: ({ signal }) => data(api.GET("/api/v1/webhooks/{webhook_id}", { params: place, signal })) });
  const endpoint = found.data;
  const act = (work: Promise<unknown>, text: string) =>
    work.then(() => {
      toast({ text, tone: "good" });
      followDelivery();
    }, (error: Error) => toast({ text: error.message, tone: "bad" }));
  const test = () => void act(data(api.POST("/api/v1/webhooks/{webhook_id}/test", { params: place })), t("testSent"));
  const pause = () => void act(data(api.POST("/api/v1/webhooks/{webhook_id}/pause", { params: place })), t("pausedNow"));
  const resume = () => void act(data(api.POST("/api/v1/webhooks/{webhook_id}/resume", { params: place })), t("resumedNow"));
  const rotate = () => data(api.POST("/api/v1/webhooks/{webhook_id}/rotate", { params: place })).then((drawn) => {
    setSecret(drawn.secret);
    refresh("webhooks");
  }, (error: Error) => void toast({ text: error.message, tone: "bad" }));
  const remove = async () => {
    await data(api.DELETE("/api/v1/webhooks/{webhook_id}", { params: place }));
    toast({ text: t("removed"), tone: "good" });
    refresh("webhooks");
    navigate("/webhooks");
  };
  const mayChange = may("account:write");
  return (
    <Page title={endpoint?.description || n("webhooks")} actions={<ButtonLink href="/webhooks" kind="quiet" icon="left">{n("webhooks")}</ButtonLink>}
      call={{ method: "GET", path: `/api/v1/webhooks/${id}/messages`, cli: `imagemill webhooks messages ${id}` }}>
      {found.error && <ProblemNotice error={found.error} onRetry={() => void found.refetch()} />}
      {found.isPending && <Waiting what={n("webhooks")} />}
      {endpoint && (
        <section class="card webhooks-card" aria-label={endpoint.url}>
          <div class="webhooks-line"><StateBadge endpoint={endpoint} /><strong class="webhooks-url">{endpoint.url}</strong></div>
          <StateReason endpoint={endpoint} />
          <p class="soft small">{endpoint.events.join(", ")}</p>
          {endpoint.formerSecretsUntil.length > 0 && <p class="soft small">{t("formerSecret", { time: moment(endpoint.formerSecretsUntil[0] ?? "") })}</p>}
          {mayChange && (
            <div class="webhooks-actions">
              <Button icon="test" onClick={test}>{t("test")}</Button>
              {endpoint.state === "paused" ? <Button kind="primary" icon="play" onClick={resume}>{t("resume")}</Button> : <Button icon="pause" onClick={pause}>{t("pause")}</Button>}
              <ResendFailed id={id} />
              <ConfirmButton label={t("remove")} of={endpoint.url} question={t("removeQuestion")} onConfirm={remove} call={{ method: "DELETE", path: `/api/v1/webhooks/${id}`, cli: `imagemill webhooks delete ${id}` }} />
              <Menu label={t("more")} items={[{ label: t("edit"), icon: "edit", onSelect: () => setEditing(true) }, { label: t("rotate"), icon: "refresh", onSelect: () => void rotate() }]} />
            </div>
          )}
        </section>
      )}
      <Messages id={id} />
      {endpoint && <EndpointForm endpoint={endpoint} isOpen={isEditing} onClose={() => setEditing(false)} />}
      <SecretDialog secret={secret} isOpen={secret !== ""} onClose={() => setSecret("")} />
    </Page>
  );
}

function Messages({ id }: { id: string }) {
  const t = useMessages(messages);
  const owner = useOwner();
  const [event, setEvent] = useUrlState("event");
  const [only, setOnly] = useUrlState("only");
  const [message, setMessage] = useUrlState("message");
  const query = { ...owner, limit: 50, failed: only === "failed", ...(event ? { event } : {}) };
  const found = useInfiniteQuery({
    queryKey: ["webhooks", id, "messages", query],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ signal, pageParam }) => data(api.GET("/api/v1/webhooks/{webhook_id}/messages", { params: { path: { webhook_id: id }, query: { ...query, cursor: pageParam } }, signal })),
    getNextPageParam: (page) => page.next ?? undefined,
  });
  const items = found.data?.pages.flatMap((page) => page.items) ?? [];
  return (
    <>
      <div class="webhooks-filter">
        <Select label={t("event")} value={event} onChange={setEvent} options={[{ value: "", label: t("allEvents") }, ...[...EVENTS, "endpoint.test"].map((value) => ({ value, label: value }))]} />
        <Select label={t("state")} value={only} onChange={setOnly} options={[{ value: "", label: t("allStates") }, { value: "failed", label: t("failedOnly") }]} />
        <Button icon="refresh" isBusy={found.isFetching} onClick={() => void found.refetch()}>{t("reload")}</Button>
      </div>
      {found.error && <ProblemNotice error={found.error} onRetry={() => void found.refetch()} />}
      {found.isPending && <Waiting what={t("messages")} />}
      {found.data && !items.length && <Empty icon="webhooks" title={t("noMessages")} />}
      {items.length > 0 && (
        <Table label={t("messages")} head={[t("time"), t("event"), t("state"), t("answer"), t("took"), t("tries"), t("job")]}>
          {items.map((each) => <Row key={each.id} message={each} onOpen={() => setMessage(each.id)} />)}
        </Table>
      )}
      {found.hasNextPage && <Button isBusy={found.isFetchingNextPage} onClick={() => void found.fetchNextPage()}>{t("older")}</Button>}
      <MessagePanel endpoint={id} message={message} onClose={() => setMessage("")} />
    </>
  );
}

function Row({ message, onOpen }: { message: Message; onOpen: () => void }) {
  const t = useMessages(messages);
  const last = message.lastAttempt;
  return (
    <tr>
      <td><button type="button" class="webhooks-open" title={message.createdAt ? moment(message.createdAt) : undefined} onClick={onOpen}>{message.createdAt ? ago(message.createdAt) : message.id}</button></td>
      <td><code>{message.type}</code></td>
      <td><span class={`status status-${STATES[message.state]}`}>{t(`state_${message.state}`)}</span></td>
      <td class="webhooks-answer">{last?.status ?? last?.error ?? "–"}</td>
      <td class="webhooks-number">{last?.ms != null ? `${number(last.ms)} ms` : "–"}</td>
      <td class="webhooks-number">{message.tries}</td>
      <td>{message.job && <Link href={`/jobs/${message.job}`}>{message.job.slice(0, 8)}</Link>}</td>
    </tr>
  );
}
