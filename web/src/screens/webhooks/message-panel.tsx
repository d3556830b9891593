/** A message with each of its attempts: what was sent, what was answered, how long it took. */
import { useQuery } from "@tanstack/react-query";
import { useState } from "preact/hooks";
import { type Schema, api, data } from "~/api/http";
import { moment, number, useMessages } from "~/app/i18n";
import { may } from "~/app/session";
import { toast } from "~/app/toasts";
import { Button } from "~/parts/button";
import { CopyAs } from "~/parts/copy-as";
import { Dialog } from "~/parts/dialog";
import { Notice, ProblemNotice, Waiting } from "~/parts/page";
import { followDelivery, useOwner } from "./index";
import { messages } from "./messages";

type Attempt = Schema<"AttemptWhole">;

/** ``message`` empty closes the panel. */
export function MessagePanel({ endpoint, message, onClose }: { endpoint: string; message: string; onClose: () => void }) {
  const t = useMessages(messages);
  const query = useOwner();
  const place = { path: { webhook_id: endpoint, message_id: message }, query };
  const [isBusy, setBusy] = useState(false);
  const found = useQuery({
    queryKey: ["webhooks", endpoint, "message", message],
    enabled: message !== "",
    queryFn: ({ signal }) => data(api.GET("/api/v1/webhooks/{webhook_id}/messages/{message_id}", { params: place, signal })),
  });
  const its = found.data;
  const resend = async () => {
    setBusy(true);
    try {
      await data(api.POST("/api/v1/webhooks/{webhook_id}/messages/{message_id}/redeliver", { params: place }));
      toast({ text: t("resent", { count: 1 }), tone: "good" });
      followDelivery();
    } catch (error) {
      toast({ text: error instanceof Error ? error.message : String(error), tone: "bad" });
    }
    setBusy(false);
  };
  return (
    <Dialog title={its?.type ?? t("message")} isOpen={message !== ""} onClose={onClose} isSide
      actions={
        <>
          <CopyAs call={{ method: "POST", path: `/api/v1/webhooks/${endpoint}/messages/${message}/redeliver`, cli: `imagemill webhooks resend ${endpoint} --message ${message}` }} />
          <Button icon="refresh" onClick={() => void found.refetch()}>{t("reload")}</Button>
          {may("account:write") && <Button kind="primary" icon="undo" isBusy={isBusy} onClick={() => void resend()}>{t("resend")}</Button>}
        </>
      }>
      {found.error && <ProblemNotice error={found.error} onRetry={() => void found.refetch()} />}
      {found.isPending && message !== "" && <Waiting what={t("message")} />}
      {its && (
        <div class="webhooks-message">
          <p class="soft"><code>{its.id}</code></p>
          {its.dueAt && <Notice><p>{t("nextTry", { time: moment(its.dueAt) })}</p></Notice>}
          {[...its.attempts].reverse().map((attempt) => <AttemptCard key={attempt.number} attempt={attempt} />)}
          {!its.attempts.length && (
            <>
              <p>{t("notSent")}</p>
              <Body title={t("content")} text={JSON.stringify(its.body, null, 2)} />
            </>
          )}
        </div>
      )}
    </Dialog>
  );
}

function AttemptCard({ attempt }: { attempt: Attempt }) {
  const t = useMessages(messages);
  const isGood = attempt.status !== null && attempt.status < 300;
  const { request, answer } = attempt;
  return (
    <section class="card webhooks-attempt" aria-label={t("attempt", { number: attempt.number })}>
      <h3>
        {t("attempt", { number: attempt.number })}
        <span class={`status status-${isGood ? "succeeded" : "failed"}`}>{attempt.status ?? t("noAnswer")}</span>
      </h3>
      <p class="soft small">{attempt.at && moment(attempt.at)}{attempt.ms !== null && ` · ${number(attempt.ms)} ms`}</p>
      {attempt.error && <p class="webhooks-bad">{attempt.error}</p>}
      {request ? <Exchange title={t("request")} headers={request.headers} body={request.body} /> : <p class="soft small">{t("requestNotKept")}</p>}
      {answer && (answer.hidden ? <p class="soft small">{t("hidden")}</p> : <Exchange title={t("answer")} headers={answer.headers} body={answer.body} />)}
    </section>
  );
}

function Exchange({ title, headers, body }: { title: string; headers: Record<string, string>; body: string }) {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  return <Body title={title} text={[...lines, "", pretty(body)].join("\n")} />;
}

function Body({ title, text }: { title: string; text: string }) {
  return (
    <details class="webhooks-body">
      <summary>{title}</summary>
      <pre tabIndex={0}>{text}</pre>
    </details>
  );
}

function pretty(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
