/** The link by which others may read the book: made, copied, and ended. */
import { copyText } from "~/parts/clipboard";
import { useState } from "preact/hooks";
import { api, data } from "~/api/http";
import { moment, useMessages } from "~/app/i18n";
import { Button } from "~/parts/button";
import { Dialog } from "~/parts/dialog";
import { Select, TextInput } from "~/parts/field";
import type { Live, MadeBook } from "./book";
import { madeMessages } from "./made-messages";
import { Trouble, useAsk } from "./parts";

const DAYS = [7, 14, 30];

export function ShareButton({ book, live }: { book: MadeBook; live: Live }) {
  const t = useMessages(madeMessages);
  const [isOpen, setOpen] = useState(false);
  return (
    <>
      <Button icon="share" onClick={() => setOpen(true)}>{t("share")}</Button>
      <Dialog title={t("shareTitle")} isOpen={isOpen} onClose={() => setOpen(false)}><ShareForm book={book} live={live} /></Dialog>
    </>
  );
}

function ShareForm({ book, live }: { book: MadeBook; live: Live }) {
  const t = useMessages(madeMessages);
  const [days, setDays] = useState("14");
  const [isCopied, setCopied] = useState(false);
  const { isBusy, problem, ask } = useAsk(live.reload);
  const at = { params: { path: { id: book.id } } };
  const link = book.share;
  const onShare = () =>
    ask(async () => {
      await data(api.POST("/api/v1/personalizations/{id}/share", { ...at, body: { days: Number(days) } }));
      live.take(await data(api.GET("/api/v1/personalizations/{id}", at)));
    });
  const onEnd = () => ask(async () => live.take(await data(api.DELETE("/api/v1/personalizations/{id}/share", at))));
  const onCopy = async (url: string) => {
    await copyText(url);
    setCopied(true);
  };
  return (
    <>
      <p>{t("shareText")}</p>
      {link ? (
        <>
          <TextInput label={t("shareLink")} hint={t("shareUntil", { at: moment(link.expiresAt) })} value={link.url} onInput={() => undefined} readOnly
            onFocus={(event: FocusEvent) => (event.currentTarget as HTMLInputElement).select()} />
          <div class="studio-actions">
            <Button kind="primary" icon={isCopied ? "check" : "copy"} onClick={() => void onCopy(link.url).catch(() => setCopied(false))}>{isCopied ? t("copied") : t("copyLink")}</Button>
            <Button kind="danger" icon="close" isBusy={isBusy} onClick={onEnd}>{t("endShare")}</Button>
          </div>
        </>
      ) : (
        <>
          <Select label={t("shareDays")} value={days} onChange={setDays} options={DAYS.map((count) => ({ value: String(count), label: t("days", { count }) }))} />
          <Button kind="primary" icon="share" isBusy={isBusy} onClick={onShare}>{t("makeLink")}</Button>
        </>
      )}
      {problem !== null && <Trouble error={problem} />}
    </>
  );
}
