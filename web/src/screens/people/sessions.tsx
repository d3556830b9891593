/** Where an account is signed in to the web application. */
import { useQuery } from "@tanstack/react-query";
import { useState } from "preact/hooks";
import { api, data } from "~/api/http";
import { ago, moment, useMessages } from "~/app/i18n";
import { may, signOut, useSession } from "~/app/session";
import { toast } from "~/app/toasts";
import { Button } from "~/parts/button";
import { ConfirmButton } from "~/parts/confirm";
import { CopyAs } from "~/parts/copy-as";
import { TextInput } from "~/parts/field";
import { Empty, ProblemNotice, Waiting } from "~/parts/page";
import { Table } from "~/parts/table";
import { messages } from "./messages";

export function Sessions({ owner }: { owner?: string }) {
  const t = useMessages(messages);
  const query = owner === undefined ? {} : { owner };
  const found = useQuery({ queryKey: ["people", "sessions", owner ?? ""], queryFn: ({ signal }) => data(api.GET("/api/v1/sessions", { params: { query }, signal })) });
  const items = found.data?.items ?? [];
  const end = async (id: string, isCurrent: boolean) => {
    if (isCurrent) {
      await signOut();
      return;
    }
    await data(api.DELETE("/api/v1/sessions/{session}", { params: { path: { session: id }, query } }));
    toast({ text: t("sessionEnded"), tone: "good" });
    await found.refetch();
  };
  return (
    <>
      {found.error && <ProblemNotice error={found.error} onRetry={() => void found.refetch()} />}
      {found.isPending && <Waiting what={t("sessions")} />}
      {found.data && !items.length && <Empty icon="people" title={t("noSessions")}><p class="soft">{t("noSessionsHint")}</p></Empty>}
      {items.length > 0 && (
        <Table label={t("sessions")} head={[t("browser"), t("address"), t("credential"), t("lastUsed"), t("ends"), t("actions")]}>
          {items.map((session) => (
            <tr key={session.id}>
              <td>{browserName(session.browser)}{session.current && <span class="people-mark">{t("thisOne")}</span>}{session.readOnly && <span class="people-mark">{t("readOnly")}</span>}</td>
              <td>{session.address}</td>
              <td>{session.credential ? <code>{session.credential}</code> : t("password")}</td>
              <td title={moment(session.usedAt)}>{ago(session.usedAt)}</td>
              <td title={moment(session.expiresAt)}>{ago(session.expiresAt)}</td>
              <td>{(may("account:write") || session.current) && <ConfirmButton label={t("endSession")} icon="signOut" of={browserName(session.browser)} question={t("endQuestion", { browser: browserName(session.browser), address: session.address })} onConfirm={() => end(session.id, session.current)} call={{ method: "DELETE", path: `/api/v1/sessions/${session.id}`, cli: `imagemill sessions end ${session.id}` }} />}</td>
            </tr>
          ))}
        </Table>
      )}
      {owner === undefined && items.some((session) => session.current && session.credential === null) && <ChangePassword />}
    </>
  );
}

function browserName(agent: string): string {
  const found = /(Firefox|Edg|Chrome|Safari)\/(\d+)/.exec(agent.replace(/HeadlessChrome/, "Chrome"));
  const system = /(Android|iPhone|iPad|Windows|Mac OS X|Linux)/.exec(agent);
  return found ? [`${found[1] === "Edg" ? "Edge" : found[1]} ${found[2]}`, system?.[1]].filter(Boolean).join(", ") : agent.slice(0, 40) || "?";
}

function ChangePassword() {
  const t = useMessages(messages);
  const { me } = useSession();
  const [current, setCurrent] = useState("");
  const [next, setNext] = useState("");
  const [problem, setProblem] = useState<unknown>(null);
  if (!me?.credential?.startsWith("browser:") || !may("account:write")) return null;
  const save = async (event: Event) => {
    event.preventDefault();
    setProblem(null);
    try {
      await data(api.POST("/api/v1/auth/change-password", { body: { currentPassword: current, newPassword: next } }));
      toast({ text: t("passwordChanged"), tone: "good" });
      setCurrent("");
      setNext("");
    } catch (error) {
      setProblem(error);
    }
  };
  return (
    <form class="card people-form" onSubmit={(event) => void save(event)}>
      <h2>{t("changePassword")}</h2>
      <p class="soft">{t("changePasswordHint")}</p>
      {problem !== null && <ProblemNotice error={problem} />}
      <div class="people-grid">
        <TextInput label={t("currentPassword")} type="password" autocomplete="current-password" required value={current} onInput={setCurrent} />
        <TextInput label={t("newPassword")} hint={t("passwordHint")} type="password" autocomplete="new-password" required minLength={10} value={next} onInput={setNext} />
      </div>
      <div class="people-actions">
        <Button type="submit">{t("changePassword")}</Button>
        <CopyAs call={{ method: "POST", path: "/api/v1/auth/change-password", body: { currentPassword: "…", newPassword: "…" }, cli: `imagemill users password ${me.account}` }} />
      </div>
    </form>
  );
}
