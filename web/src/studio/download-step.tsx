/** The finished book: its files, the record of its approval, and the link for others. */
import { useEffect, useState } from "preact/hooks";
import { type Schema, api, data } from "~/api/http";
import { bytes, moment, useMessages } from "~/app/i18n";
import { ButtonLink } from "~/parts/button";
import { Icon } from "~/parts/icon";
import { type MadeBook, isBound } from "./book";
import { madeMessages } from "./made-messages";
import type { StepProps } from "./made";
import { ShareButton } from "./share";

const KINDS = ["pdf", "cover", "spreads", "zip", "proof"] as const;
const NAMES = { pdf: "book.pdf", cover: "cover.pdf", spreads: "spreads.pdf", zip: "pages.zip", proof: "proof.pdf" };

export function DownloadStep({ book, title, live }: StepProps) {
  const t = useMessages(madeMessages);
  return (
    <section class="studio-card">
      <h1>{t("readyTitle", { title })}</h1>
      <p>{t("readyText")}</p>
      <ul class="studio-files">
        {KINDS.map((kind) => ({ kind, file: book.files.find((each) => each.kind === kind) })).map(({ kind, file }) => file && (
          <li key={kind}>
            <span><strong>{t(`file_${kind}`)}</strong><span class="soft">{t(`file_${kind}_for`)}{file.size ? `, ${bytes(file.size)}` : ""}</span></span>
            <a class={kind === "pdf" ? "button button-primary" : "button"} href={file.url} download={NAMES[kind]} aria-label={`${t("download")}: ${t(`file_${kind}`)}`}>
              <Icon name="download" /><span>{t("download")}</span>
            </a>
          </li>
        ))}
      </ul>
      <Record book={book} />
      <div class="studio-actions">
        <ButtonLink icon="book" href={`/books/made/${book.id}/read`}>{t("leaf")}</ButtonLink>
        {book.allowed.includes("share") && <ShareButton book={book} live={live} />}
      </div>
    </section>
  );
}

/** What was approved, by whom, and until when pages may still change. */
function Record({ book: { id, bound } }: { book: MadeBook }) {
  const t = useMessages(madeMessages);
  const [approval, setApproval] = useState<Schema<"Approval"> | null>(null);
  useEffect(() => {
    data(api.GET("/api/v1/personalizations/{id}/approval", { params: { path: { id } } })).then(setApproval, () => setApproval(null));
  }, [id]);
  if (!approval) return null;
  const isOpen = new Date(approval.changeUntil).getTime() > Date.now();
  return (
    <p class="soft">
      {t("record", { who: approval.who, at: moment(approval.at), count: approval.pages.filter(({ page }) => isBound(page, bound)).length })} {isOpen && t("changeUntil", { at: moment(approval.changeUntil) })}
    </p>
  );
}
