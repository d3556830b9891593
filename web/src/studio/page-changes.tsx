/** What a parent can do with a page: have it painted again by a sentence, or take an earlier version. */
import { useState } from "preact/hooks";
import { api, data } from "~/api/http";
import { useMessages } from "~/app/i18n";
import { Button } from "~/parts/button";
import { Dialog } from "~/parts/dialog";
import { TextArea } from "~/parts/field";
import type { Live, MadeBook, MadePage } from "./book";
import { madeMessages } from "./made-messages";
import { Linked, Trouble, useAsk } from "./parts";

interface PageChangesProps {
  book: MadeBook;
  page: MadePage;
  name: string;
  live: Live;
}

export function PageChanges({ book, page, name, live }: PageChangesProps) {
  const t = useMessages(madeMessages);
  const [dialog, setDialog] = useState<"" | "change" | "versions">("");
  const ready = page.versions.filter((version) => version.url);
  const mayChange = page.redrawsLeft > 0 && page.state !== "generating" && book.allowed.includes("redraw_page");
  const mayChoose = ready.length > 1 && book.allowed.includes("choose_version");
  if (!mayChange && !mayChoose && !page.flagged) return null;
  const props = { book, page, name, live, onClose: () => setDialog("") };
  return (
    <div class="studio-page">
      {page.flagged && <p class="studio-flag">{t("unsure", { name })}</p>}
      {mayChange && <Button icon="edit" onClick={() => setDialog("change")}>{t("change", { name })}</Button>}
      {mayChoose && <Button kind="quiet" icon="undo" onClick={() => setDialog("versions")}>{t("versions", { name, count: ready.length })}</Button>}
      {dialog === "change" && <ChangeDialog {...props} />}
      {dialog === "versions" && <VersionsDialog {...props} />}
    </div>
  );
}

type DialogProps = PageChangesProps & { onClose: () => void };

function ChangeDialog({ book, page, name, live, onClose }: DialogProps) {
  const t = useMessages(madeMessages);
  const [wish, setWish] = useState("");
  const { isBusy, problem, ask } = useAsk(live.reload);
  const onSubmit = (event: SubmitEvent) => {
    event.preventDefault();
    const at = { params: { path: { id: book.id, page: page.page } }, body: { feedback: wish.trim() } };
    ask(async () => {
      live.take(await data(api.POST("/api/v1/personalizations/{id}/pages/{page}/redraw", at)));
      onClose();
    });
  };
  return (
    <Dialog title={t("change", { name })} isOpen onClose={onClose}>
      <form class="studio-change" onSubmit={onSubmit}>
        <TextArea label={t("wish")} hint={t("wishHint")} rows={2} maxLength={200} value={wish} onInput={setWish} />
        <p class="soft">{t("changeKept")}</p>
        {problem !== null && <Trouble error={problem} />}
        <Button kind="primary" type="submit" icon="make" isBusy={isBusy}>{t("paintAgain", { count: page.redrawsLeft })}</Button>
      </form>
    </Dialog>
  );
}

function VersionsDialog({ book, page, name, live, onClose }: DialogProps) {
  const t = useMessages(madeMessages);
  const { isBusy, problem, ask } = useAsk(live.reload);
  const choose = (version: number) => {
    const at = { params: { path: { id: book.id, page: page.page } }, body: { version } };
    ask(async () => {
      live.take(await data(api.POST("/api/v1/personalizations/{id}/pages/{page}/choose", at)));
      onClose();
    });
  };
  const ready = page.versions.filter((version) => version.url);
  return (
    <Dialog title={t("versionsOf", { name })} isOpen onClose={onClose} isWide>
      {problem !== null && <Trouble error={problem} />}
      <ul class="studio-versions">
        {ready.map((version, number) => (
          <li key={version.version}>
            {version.url && <Linked src={version.url} alt={t("drawing", { number: number + 1 })} onExpired={live.reload} />}
            {version.feedback && <q>{version.feedback}</q>}
            {version.current
              ? <strong>{t("printed")}</strong>
              : <Button icon="check" isBusy={isBusy} aria-label={t("takeNumber", { number: number + 1 })} onClick={() => choose(version.version)}>{t("take")}</Button>}
          </li>
        ))}
      </ul>
    </Dialog>
  );
}
