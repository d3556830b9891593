/** The first page: the stories, and the books that were begun. */
import { useEffect, useState } from "preact/hooks";
import { Link } from "wouter-preact";
import { type Schema, api, data } from "~/api/http";
import { ago, useLanguage, useMessages } from "~/app/i18n";
import { Button } from "~/parts/button";
import { type OfferedBook, inLanguage } from "./book";
import { messages } from "./messages";
import { Trouble, useTitle } from "./parts";

type Begun = Schema<"PersonalizationOverview">;
const FEW = 4;

interface Shelves {
  offered: OfferedBook[];
  begun: Begun[];
}

async function readShelves(): Promise<Shelves> {
  const [offered, begun] = await Promise.all([readOffered(), data(api.GET("/api/v1/personalizations", { params: { query: { limit: 50 } } }))]);
  return { offered, begun: begun.items };
}

async function readOffered(): Promise<OfferedBook[]> {
  const found: OfferedBook[] = [];
  let cursor: string | undefined;
  do {
    const page = await data(api.GET("/api/v1/books", { params: { query: { limit: 200, cursor } } }));
    found.push(...page.items);
    cursor = page.next ?? undefined;
  } while (cursor);
  return found;
}

export function Shelf() {
  const t = useMessages(messages);
  const [shelves, setShelves] = useState<Shelves | null>(null);
  const [problem, setProblem] = useState<unknown>(null);
  const [isAll, setAll] = useState(false);
  const load = () => {
    setProblem(null);
    readShelves().then(setShelves, setProblem);
  };
  useEffect(load, []);
  useTitle(t("brand"));
  const begun = isAll ? shelves?.begun : shelves?.begun.slice(0, FEW);
  return (
    <>
      <section class="studio-hello">
        <h1>{t("shelfTitle")}</h1>
        <p>{t("shelfText")}</p>
      </section>
      {problem !== null && <Trouble error={problem} onRetry={load} />}
      {shelves && begun && begun.length > 0 && (
        <section>
          <h2>{t("yours")}</h2>
          <ul class="studio-begun">
            {begun.map((each) => <BegunBook key={each.id} begun={each} book={shelves.offered.find((book) => book.slug === each.book)} />)}
          </ul>
          {begun.length < shelves.begun.length && <Button onClick={() => setAll(true)}>{t("more")}</Button>}
        </section>
      )}
      {shelves && (
        <section>
          <h2>{t("offered")}</h2>
          {shelves.offered.length ? (
            <ul class="studio-shelf">
              {shelves.offered.map((book) => <OfferedCover key={book.slug} book={book} />)}
            </ul>
          ) : <p>{t("none")}. {t("noneText")}</p>}
        </section>
      )}
    </>
  );
}

function OfferedCover({ book }: { book: OfferedBook }) {
  const t = useMessages(messages);
  const language = useLanguage();
  const hero = book.people.find((person) => person.role === "hero");
  return (
    <li>
      <Link class="studio-offer" href={`/books/${book.slug}`}>
        <img src={book.coverUrl} alt="" loading="lazy" decoding="async" />
        <strong>{inLanguage(book.title, language)}</strong>
        <span>{t("pages", { count: book.pages })}{hero && hero.ages.length === 2 ? `, ${t("ages", { from: hero.ages[0] ?? 0, to: hero.ages[1] ?? 0 })}` : ""}</span>
      </Link>
    </li>
  );
}

function BegunBook({ begun, book }: { begun: Begun; book?: OfferedBook }) {
  const t = useMessages(messages);
  const language = useLanguage();
  return (
    <li>
      <Link class="studio-going" href={`/books/made/${begun.id}`}>
        {book && <img src={book.coverUrl} alt="" loading="lazy" decoding="async" />}
        <span>
          <strong>{book ? inLanguage(book.title, language) : begun.book}</strong>
          <span>{t(stateName(begun.state))}</span>
          <span class="soft">{ago(begun.createdAt)}</span>
        </span>
        <span class="button">{t("goOn")}</span>
      </Link>
    </li>
  );
}

function stateName(state: Begun["state"]) {
  const names = {
    pending_analysis: "state_photo", analyzing: "state_photo", analyzed: "state_photo", analysis_failed: "state_photoFailed", reference_generating: "state_painting",
    reference_ready: "state_hero", preview_generating: "state_painting", preview_ready: "state_preview", full_generating: "state_painting", proof_ready: "state_order",
    completed: "state_done", generation_failed: "state_failed", canceled: "state_canceled",
  } as const;
  return names[state];
}
