/** Deletion of the photo and of all that was made from it, and the proof. */
import { useState } from "preact/hooks";
import { Link } from "wouter-preact";
import { api, data } from "~/api/http";
import { moment, useMessages } from "~/app/i18n";
import { Button } from "~/parts/button";
import { Checkbox } from "~/parts/field";
import { Icon } from "~/parts/icon";
import type { MadeBook } from "./book";
import { madeMessages } from "./made-messages";
import type { StepProps } from "./made";
import { Painting, Trouble, useAsk } from "./parts";

export function DeletePage({ book, live }: StepProps) {
  const t = useMessages(madeMessages);
  const [isSure, setSure] = useState(false);
  const [isTried, setTried] = useState(false);
  const { isBusy, problem, ask } = useAsk(live.reload);
  const onDelete = () => {
    setTried(true);
    if (isSure) erase();
  };
  const erase = () => ask(async () => live.take(await data(api.DELETE("/api/v1/personalizations/{id}", { params: { path: { id: book.id } } }))));
  if (book.deletedAt && !book.deletion.erasedAt) return <section class="studio-center"><h1>{t("deleting")}</h1><Painting>{t("deletingText")}</Painting></section>;
  if (book.deletedAt) return <Proof book={book} />;
  return (
    <section class="studio-card">
      <h1>{t("deleteTitle")}</h1>
      <p>{t("deleteText")}</p>
      {book.photoDeletedAt && <p>{t("photoGoneSince", { at: moment(book.photoDeletedAt) })}</p>}
      <div>
        <Checkbox label={t("deleteSure")} isChecked={isSure} onChange={setSure} />
        {isTried && !isSure && <p class="field-error" role="alert">{t("firstSure")}</p>}
      </div>
      {problem !== null && <Trouble error={problem} />}
      <div class="studio-actions">
        <Button kind="danger" icon="delete" isBusy={isBusy} onClick={onDelete}>{t("deleteNow")}</Button>
        <Link href={`/books/made/${book.id}`}>{t("keep")}</Link>
      </div>
    </section>
  );
}

function Proof({ book }: { book: MadeBook }) {
  const t = useMessages(madeMessages);
  const count = (name: string) => Number(book.deletion[name] ?? 0);
  return (
    <section class="studio-card studio-proof">
      <Icon name="check" size={40} />
      <h1>{t("goneTitle")}</h1>
      <p>{t("goneText", { at: moment(Number(book.deletion.erasedAt) / 1000) })}</p>
      <dl class="studio-facts">
        {book.photoDeletedAt && <div><dt>{t("gonePhotos")}</dt><dd>{moment(book.photoDeletedAt)}</dd></div>}
        <div><dt>{t("goneFiles")}</dt><dd>{count("files")}</dd></div>
        <div><dt>{t("goneJobs")}</dt><dd>{count("jobs")}</dd></div>
        <div><dt>{t("goneNumber")}</dt><dd><code>{book.id}</code></dd></div>
      </dl>
      <p class="soft">{t("goneKept")}</p>
      <Link href="/books">{t("toShelf")}</Link>
    </section>
  );
}
