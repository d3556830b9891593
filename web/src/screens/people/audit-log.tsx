/** The log of changes: who changed what, when, from where. */
import { useInfiniteQuery } from "@tanstack/react-query";
import { api, data } from "~/api/http";
import { moment, useMessages } from "~/app/i18n";
import { useUrlState } from "~/app/state";
import { Button } from "~/parts/button";
import { CopyAs } from "~/parts/copy-as";
import { TextInput } from "~/parts/field";
import { Empty, ProblemNotice, Waiting } from "~/parts/page";
import { Table } from "~/parts/table";
import { messages } from "./messages";

export function AuditLog() {
  const t = useMessages(messages);
  const [actor, setActor] = useUrlState("actor");
  const found = useInfiniteQuery({
    queryKey: ["people", "audit", actor],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ signal, pageParam }) => data(api.GET("/api/v1/audit", { params: { query: { limit: 50, cursor: pageParam, actor: actor || undefined } }, signal })),
    getNextPageParam: (page) => page.next ?? undefined,
  });
  const entries = found.data?.pages.flatMap((page) => page.items) ?? [];
  return (
    <>
      <div class="people-bar">
        <TextInput label={t("actor")} isLabelHidden type="search" placeholder={t("actorHint")} value={actor} onInput={setActor} />
        <CopyAs call={{ method: "GET", path: `/api/v1/audit${actor ? `?actor=${encodeURIComponent(actor)}` : ""}`, cli: "imagemill users audit" }} />
      </div>
      {found.error && <ProblemNotice error={found.error} onRetry={() => void found.refetch()} />}
      {found.isPending && <Waiting what={t("audit")} />}
      {found.data && !entries.length && <Empty icon="info" title={t("noAudit")} />}
      {entries.length > 0 && (
        <Table label={t("audit")} head={[t("time"), t("actor"), t("action"), t("target"), t("detail"), t("address")]}>
          {entries.map((entry) => (
            <tr key={entry.id}>
              <td class="people-time">{entry.at && moment(entry.at)}</td>
              <td>{entry.actor || entry.credential}</td>
              <td><code>{entry.action}</code></td>
              <td class="people-scopes">{entry.target}</td>
              <td>{entry.detail}</td>
              <td>{entry.address}</td>
            </tr>
          ))}
        </Table>
      )}
      {found.hasNextPage && <Button isBusy={found.isFetchingNextPage} onClick={() => void found.fetchNextPage()}>{t("older")}</Button>}
    </>
  );
}
