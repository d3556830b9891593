/** The balance of an account, what changed it, and credits given by an administrator. */
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useRef, useState } from "preact/hooks";
import { Link } from "wouter-preact";
import { type Schema, api, data } from "~/api/http";
import { refresh } from "~/api/queries";
import { moment, number, useMessages } from "~/app/i18n";
import { may, useSession } from "~/app/session";
import { useDraft } from "~/app/state";
import { toast } from "~/app/toasts";
import { Button, ButtonLink } from "~/parts/button";
import { CopyAs } from "~/parts/copy-as";
import { NumberInput, TextInput } from "~/parts/field";
import { Empty, Notice, ProblemNotice, Waiting } from "~/parts/page";
import { Table } from "~/parts/table";
import { messages } from "./messages";

export function Money({ owner }: { owner?: string }) {
  const t = useMessages(messages);
  const { me } = useSession();
  const name = owner ?? me?.owner ?? "";
  const query = owner === undefined ? {} : { owner };
  const balance = useQuery({ queryKey: ["credits", "balance", name], queryFn: ({ signal }) => data(api.GET("/api/v1/credits", { params: { query }, signal })) });
  const statement = useInfiniteQuery({
    queryKey: ["credits", "statement", name],
    initialPageParam: undefined as number | undefined,
    queryFn: ({ signal, pageParam }) => data(api.GET("/api/v1/credits/statement", { params: { query: { ...query, limit: 50, cursor: pageParam } }, signal })).then((page) => page as Schema<"StatementBody">),
    getNextPageParam: (page) => page.next ?? undefined,
  });
  const entries = statement.data?.pages.flatMap((page) => page.items) ?? [];
  const its = balance.data;
  return (
    <>
      {balance.error && <ProblemNotice error={balance.error} onRetry={() => void balance.refetch()} />}
      {its && !its.charged && <Notice><p>{t("free")}</p></Notice>}
      {its && (
        <dl class="people-figures">
          <div><dt>{t("available")}</dt><dd>{its.exempt ? t("exempt") : number(its.available)}</dd></div>
          <div><dt>{t("held")}</dt><dd>{number(its.held)}</dd></div>
        </dl>
      )}
      {may("admin") && <Grant owner={name} />}
      <div class="people-bar">
        <h2>{t("statement")}</h2>
        <ButtonLink href={`/api/v1/credits/statement?format=csv${owner === undefined ? "" : `&owner=${encodeURIComponent(owner)}`}`} icon="download" isDownload>CSV</ButtonLink>
      </div>
      {statement.error && <ProblemNotice error={statement.error} onRetry={() => void statement.refetch()} />}
      {statement.isPending && <Waiting what={t("statement")} />}
      {statement.data && !entries.length && <Empty icon="info" title={t("noEntries")} />}
      {entries.length > 0 && (
        <Table label={t("statement")} head={["#", t("time"), t("kind"), t("change"), t("balance"), t("job"), t("note")]}>
          {entries.map((entry) => (
            <tr key={entry.number}>
              <td>{entry.number}</td>
              <td class="people-time">{moment(entry.at)}</td>
              <td>{entry.kind}</td>
              <td class="people-number">{number(entry.available, { signDisplay: "exceptZero" })}</td>
              <td class="people-number">{number(entry.balance)}</td>
              <td>{entry.job && <Link href={`/jobs/${entry.job}`}>{entry.job.slice(0, 8)}</Link>}</td>
              <td>{[entry.note, entry.actor].filter(Boolean).join(" · ")}</td>
            </tr>
          ))}
        </Table>
      )}
      {statement.hasNextPage && <Button isBusy={statement.isFetchingNextPage} onClick={() => void statement.fetchNextPage()}>{t("older")}</Button>}
    </>
  );
}

const NOTHING = { amount: null as number | null, note: "" };

function Grant({ owner }: { owner: string }) {
  const t = useMessages(messages);
  const [draft, setDraft, clear] = useDraft(`people.grant.${owner}`, NOTHING);
  const [problem, setProblem] = useState<unknown>(null);
  const [isBusy, setBusy] = useState(false);
  // The same key until it has succeeded, so that a repetition after a lost answer gives nothing twice.
  const key = useRef(randomKey());
  const body = { owner, amount: draft.amount ?? 0, note: draft.note };
  const submit = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setProblem(null);
    try {
      const { entries } = await data(api.POST("/api/v1/credits/grants", { body, headers: { "Idempotency-Key": key.current } }));
      toast({ text: t("granted", { amount: body.amount, name: owner, balance: entries[0]?.balance ?? 0 }), tone: "good" });
      key.current = randomKey();
      clear();
      refresh("credits");
    } catch (error) {
      setProblem(error);
    }
    setBusy(false);
  };
  return (
    <form class="card people-grant" onSubmit={(event) => void submit(event)}>
      <NumberInput label={t("grant")} hint={t("grantHint")} required step="0.001" value={draft.amount} onInput={(amount) => setDraft({ ...draft, amount })} />
      <TextInput label={t("note")} maxLength={500} value={draft.note} onInput={(note) => setDraft({ ...draft, note })} />
      <div class="people-actions people-give">
        <Button type="submit" kind="primary" isBusy={isBusy} disabled={!draft.amount}>{t("give")}</Button>
        <CopyAs call={{ method: "POST", path: "/api/v1/credits/grants", body, cli: `imagemill credits grant ${owner} ${body.amount}${body.note ? ` --note '${body.note.replaceAll("'", `'\\''`)}'` : ""}` }} />
      </div>
      {problem !== null && <ProblemNotice error={problem} />}
    </form>
  );
}

function randomKey(): string {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((each) => each.toString(16).padStart(2, "0")).join("");
}
