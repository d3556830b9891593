/** How the hero looks: the parent approves the sheet, takes an earlier one, or asks for another one. */
import { useState } from "preact/hooks";
import { api, data } from "~/api/http";
import { useMessages } from "~/app/i18n";
import { Button } from "~/parts/button";
import { TextInput } from "~/parts/field";
import { madeMessages } from "./made-messages";
import type { StepProps } from "./made";
import { Linked, Painting, Trouble, useAsk } from "./parts";

export function HeroStep({ book, live }: StepProps) {
  const t = useMessages(madeMessages);
  const { isBusy, problem, ask } = useAsk(live.reload);
  const [wish, setWish] = useState("");
  const [chosen, setChosen] = useState<number | null>(null);
  const at = { params: { path: { id: book.id } } };
  const sheet = book.reference;
  const ready = sheet?.versions.filter((version) => version.url) ?? [];
  const shown = ready.find((version) => version.version === chosen) ?? ready.find((version) => version.current) ?? ready.at(-1);
  const isDrawing = book.state === "reference_generating";
  const mayApprove = book.allowed.includes("approve_reference") && shown !== undefined;
  const mayRedraw = book.allowed.includes("redraw_reference");
  const onApprove = () => ask(async () => live.take(await data(api.POST("/api/v1/personalizations/{id}/reference/approve", { ...at, body: { version: shown?.version } }))));
  const onRedraw = (event: SubmitEvent) => {
    event.preventDefault();
    ask(async () => {
      live.take(await data(api.POST("/api/v1/personalizations/{id}/reference/redraw", { ...at, body: { feedback: wish.trim() } })));
      setWish("");
      setChosen(null);
    });
  };
  return (
    <section class="studio-hero">
      <h1>{isDrawing ? t("heroDrawing") : book.referenceApproved ? t("heroApproved") : t("heroTitle")}</h1>
      {!isDrawing && !book.referenceApproved && <p>{t("heroText")}</p>}
      {book.state === "generation_failed" && <p role="alert">{t("heroFailed")}</p>}
      {isDrawing ? <Painting>{t("heroDrawingText")}</Painting> : shown?.url && (
        <Linked src={shown.url} alt={t("heroSheet")} onExpired={live.reload} className="studio-sheet" />
      )}
      {!isDrawing && ready.length > 1 && !book.referenceApproved && (
        <fieldset class="studio-sheets">
          <legend>{t("heroOthers")}</legend>
          {ready.map((version, number) => (
            <button key={version.version} type="button" aria-pressed={version === shown} onClick={() => setChosen(version.version)}>
              {version.url && <Linked src={version.url} alt={t("drawing", { number: number + 1 })} />}
            </button>
          ))}
        </fieldset>
      )}
      {problem !== null && <Trouble error={problem} />}
      {mayApprove && <Button kind="primary" icon="check" isBusy={isBusy} onClick={onApprove}>{t("heroApprove")}</Button>}
      {mayRedraw && sheet && (
        <form class="studio-card" onSubmit={onRedraw}>
          <h2>{t("heroAnother")}</h2>
          <TextInput label={t("wish")} hint={t("heroWishHint")} value={wish} onInput={setWish} maxLength={200} />
          <Button type="submit" icon="refresh" isBusy={isBusy}>{t("drawAgain", { count: sheet.redrawsLeft })}</Button>
        </form>
      )}
    </section>
  );
}
