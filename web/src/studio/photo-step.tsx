/** The photo is looked at; where it does not fit, what to do. */
import { Link, useLocation } from "wouter-preact";
import { api, data } from "~/api/http";
import { useMessages } from "~/app/i18n";
import { Button } from "~/parts/button";
import { Icon } from "~/parts/icon";
import type { Schema } from "~/api/http";
import { madeMessages } from "./made-messages";
import type { StepProps } from "./made";
import { Painting, Trouble, useAsk } from "./parts";

const ADVICE = ["no_face", "several_faces", "too_small", "blurred", "turned_away"] as const;

export function PhotoStep({ book, live }: StepProps) {
  const t = useMessages(madeMessages);
  const [, navigate] = useLocation();
  const { isBusy, problem, ask } = useAsk();
  if (book.state === "canceled") return <section class="studio-center"><h1>{t("stopped")}</h1><Link href={`/books/${book.book}`}>{t("beginAgain")}</Link></section>;
  if (book.state !== "analysis_failed") {
    const isUsable = book.referenceApproved || book.reference !== null;
    return (
      <section class="studio-center">
        <h1>{isUsable ? t("photoFits") : t("photoLooked")}</h1>
        {isUsable ? <p>{t("photoFitsText")}</p> : <Painting>{t("photoLookedText")}</Painting>}
      </section>
    );
  }
  // The photo that does not fit goes at once; nothing else was made from it.
  const onAgain = () =>
    ask(async () => {
      await data(api.DELETE("/api/v1/personalizations/{id}", { params: { path: { id: book.id } } }));
      navigate(`/books/${book.book}`);
    });
  return (
    <section class="studio-card">
      <h1>{t("photoUnfit")}</h1>
      {book.analyses.filter((each) => each.usable !== true).map((each) => <Advice key={each.characterId} analysis={each} isNamed={book.analyses.length > 1} />)}
      <p class="soft">{t("photoUnfitText")}</p>
      {problem !== null && <Trouble error={problem} onRetry={live.reload} />}
      <Button kind="primary" icon="upload" isBusy={isBusy} onClick={onAgain}>{t("anotherPhoto")}</Button>
    </section>
  );
}

function Advice({ analysis, isNamed }: { analysis: Schema<"PhotoAnalysis">; isNamed: boolean }) {
  const t = useMessages(madeMessages);
  const known = ADVICE.find((each) => each === analysis.problem);
  return (
    <div class="studio-advice">
      {isNamed && <p class="soft">{analysis.characterId}</p>}
      <p><strong>{t(known ? `unfit_${known}` : "unfit_other")}</strong></p>
      <p><Icon name="check" /><span>{t(known ? `advice_${known}` : "advice_other")}</span></p>
    </div>
  );
}
