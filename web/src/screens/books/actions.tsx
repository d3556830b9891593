/** What an operator can do with a book as a whole, as far as its state allows it. */
import { api, data } from "~/api/http";
import { useMessages } from "~/app/i18n";
import { may, useSession } from "~/app/session";
import { useDraft } from "~/app/state";
import { TextInput } from "~/parts/field";
import { AskButton } from "./ask";
import { type MadeBook, callOf, useOwnerOf } from "./book";
import { messages } from "./messages";

export function Actions({ book, pages }: { book: MadeBook; pages: number }) {
  const t = useMessages(messages);
  const owner = useOwnerOf(book);
  const params = { path: { id: book.id }, query: owner };
  const call = (method: "POST" | "DELETE", path: string, cli: string, body?: unknown) => callOf(book, owner, { method, path, cli: `imagemill books ${cli}`, body });
  if (!may("jobs:write") || book.deletedAt) return null;
  const can = (action: MadeBook["allowed"][number]) => book.allowed.includes(action);
  const { child } = book;
  const body = child && { childName: child.name, childAge: child.age, childGender: child.gender as "boy" | "girl" | "neutral", language: child.language };
  const sheet = book.reference?.version ?? undefined;
  const isFailed = book.state === "generation_failed";
  const failed = book.pages.filter((page) => page.state === "failed").length;
  return (
    <div class="books-actions">
      {can("approve_reference") && sheet !== undefined && (
        <AskButton kind="primary" icon="check" label={t("approveReference")} hint={t("approveReferenceHint")} call={call("POST", "/reference/approve", `approve-reference ${book.id} --version ${sheet}`, { version: sheet })}
          onConfirm={() => data(api.POST("/api/v1/personalizations/{id}/reference/approve", { params, body: { version: sheet } }))} done={() => t("referenceApproved", { version: sheet })} />
      )}
      {isFailed && can("generate") && body && !book.unlockedAt && (
        <AskButton kind="primary" icon="refresh" label={t("resume")} hint={t("resumed", { count: failed })} call={call("POST", "/generate", `generate ${book.id} --name '${body.childName.replaceAll("'", "'\\''")}' --age ${body.childAge} --gender ${body.childGender} --language ${body.language}`, body)}
          onConfirm={() => data(api.POST("/api/v1/personalizations/{id}/generate", { params, body }))} done={() => t("resumed", { count: failed })} />
      )}
      {can("unlock") && may("books:unlock") && (
        <AskButton kind={isFailed && !book.unlockedAt ? "plain" : "primary"} icon={book.unlockedAt ? "refresh" : "star"} label={t(book.unlockedAt ? "resume" : "unlock")} hint={book.unlockedAt ? t("resumed", { count: failed }) : t("unlockHint", { count: pages })}
          call={callOf(book, owner, { method: "POST", path: "/unlock", cli: `imagemill books unlock ${book.id}` })} onConfirm={() => data(api.POST("/api/v1/personalizations/{id}/unlock", { params }))} done={(made) => t("unlockedNow", { count: made.total })} />
      )}
      {can("approve") && <ApproveButton book={book} />}
      {can("cancel") && (
        <AskButton icon="cancel" label={t("cancel")} hint={t("cancelHint")} call={call("POST", "/cancel", `cancel ${book.id}`)} onConfirm={() => data(api.POST("/api/v1/personalizations/{id}/cancel", { params }))} done={(made) => t("canceledNow", { count: made.done })} />
      )}
      {can("delete") && (
        <AskButton kind="danger" icon="delete" label={t("erase")} hint={t("eraseHint", { count: book.total })} call={call("DELETE", "", `delete ${book.id}`)} onConfirm={() => data(api.DELETE("/api/v1/personalizations/{id}", { params }))} done={() => t("erased", { count: book.total })} />
      )}
    </div>
  );
}

function ApproveButton({ book }: { book: MadeBook }) {
  const t = useMessages(messages);
  const owner = useOwnerOf(book);
  const { me } = useSession();
  const [who, setWho] = useDraft("books.who", me?.owner ?? "");
  const body = { who: who.trim() };
  return (
    <AskButton kind="primary" icon="check" label={t("approve")} hint={t("approveHint")} blocked={body.who ? undefined : t("who")}
      call={callOf(book, owner, { method: "POST", path: "/approve", body, cli: `imagemill books approve ${book.id} --who '${body.who.replaceAll("'", "'\\''")}'` })}
      onConfirm={() => data(api.POST("/api/v1/personalizations/{id}/approve", { params: { path: { id: book.id }, query: owner }, body }))} done={(made) => t("approvedNow", { count: made.total })}>
      <TextInput label={t("who")} required maxLength={200} value={who} onInput={setWho} />
    </AskButton>
  );
}
