/** A story: its drawn pages, and the form with the photo and the consent. */
import { useEffect, useState } from "preact/hooks";
import { Link, useLocation } from "wouter-preact";
import { type Schema, api, data, send } from "~/api/http";
import { useLanguage, useMessages } from "~/app/i18n";
import { useDraft } from "~/app/state";
import { Button } from "~/parts/button";
import { Checkbox, TextInput } from "~/parts/field";
import { Icon } from "~/parts/icon";
import { type MadeBook, inLanguage } from "./book";
import { type Face, facesOf } from "./faces";
import { FlipBook } from "./flip";
import { messages } from "./messages";
import { Trouble, useAsk, useTitle } from "./parts";
import { PhotoPicker, type PickedPhoto } from "./photo-picker";
import { startMessages } from "./start-messages";

interface Story {
  book: Schema<"BookDetails">;
  pictures: Schema<"CataloguePicture">[];
}

async function readStory(slug: string): Promise<Story> {
  const at = { params: { path: { slug } } };
  const [book, previews] = await Promise.all([data(api.GET("/api/v1/books/{slug}", at)), data(api.GET("/api/v1/books/{slug}/previews", at))]);
  return { book, pictures: previews.items };
}

export function StartPage({ slug }: { slug: string }) {
  const t = useMessages(messages);
  const language = useLanguage();
  const [story, setStory] = useState<Story | null>(null);
  const [problem, setProblem] = useState<unknown>(null);
  const [at, setAt] = useState("front");
  const load = () => {
    setProblem(null);
    readStory(slug).then(setStory, setProblem);
  };
  useEffect(load, [slug]);
  const title = story ? inLanguage(story.book.title, language) : t("brand");
  useTitle(title);
  if (problem) return <><Trouble error={problem} onRetry={load} /><p><Link href="/books">{t("back")}</Link></p></>;
  if (!story) return null;
  const hero = story.book.people.find((person) => person.role === "hero");
  return (
    <>
      <section class="studio-hello">
        <h1>{title}</h1>
        <p>{inLanguage(story.book.description, language)}</p>
        <p class="soft">
          {t("pages", { count: story.book.pages })}
          {hero && hero.ages.length === 2 ? `, ${t("ages", { from: hero.ages[0] ?? 0, to: hero.ages[1] ?? 0 })}` : ""}
        </p>
      </section>
      <FlipBook title={title} faces={drawnFaces(story)} at={at} onTurn={setAt} bound={null} onExpired={load} />
      <PhotoForm book={story.book} />
    </>
  );
}

function drawnFaces({ pictures }: Story): Face[] {
  const url = (name: string) => pictures.find((picture) => picture.name === name)?.url;
  const pages = pictures.filter(({ name }) => /^\d+$/.test(name)).map(({ name, url: drawn }) => ({ page: Number(name), url: drawn }));
  return facesOf({ bound: null, pages, isWhole: true, frontUrl: url("front"), backUrl: url("back") });
}

function PhotoForm({ book }: { book: Schema<"BookDetails"> }) {
  const t = useMessages(startMessages);
  const [, navigate] = useLocation();
  const people = book.people.filter((person) => person.needsPhoto);
  const [photos, setPhotos] = useState<Record<string, PickedPhoto>>({});
  const [who, setWho] = useDraft("studio.who", "");
  const [isAgreed, setAgreed] = useState(false);
  const [isTried, setTried] = useState(false);
  const { isBusy, problem, ask } = useAsk();
  const isWhole = people.every((person) => photos[person.id]) && isAgreed && who.trim() !== "";
  const onSubmit = (event: SubmitEvent) => {
    event.preventDefault();
    setTried(true);
    if (!isWhole) return;
    ask(async () => {
      const form = new FormData();
      for (const [id, { file }] of Object.entries(photos)) form.append(people.length > 1 ? `photo.${id}` : "photo", file);
      form.append("consent", JSON.stringify({ who: who.trim(), when: new Date().toISOString() }));
      const made = await send<MadeBook>("POST", `/api/v1/books/${encodeURIComponent(book.slug)}/personalizations`, form);
      navigate(`/books/made/${made.id}/photo`);
    });
  };
  return (
    <form class="studio-card" onSubmit={onSubmit} noValidate>
      <h2>{t("photoTitle", { count: people.length })}</h2>
      <ul class="studio-hints">
        {(["hintFace", "hintLight", "hintAlone"] as const).map((hint) => <li key={hint}><Icon name="check" /><span>{t(hint)}</span></li>)}
      </ul>
      <div class="studio-photos">
        {people.map((person) => (
          <PhotoPicker key={person.id} label={people.length > 1 ? t(roleName(person.role), { id: person.id }) : t("choosePhoto")} photo={photos[person.id]}
            isMissing={isTried && !photos[person.id]} onPick={(photo) => setPhotos((known) => ({ ...known, [person.id]: photo }))} />
        ))}
      </div>
      <TextInput label={t("who")} hint={t("whoHint")} value={who} onInput={setWho} autocomplete="name" maxLength={200} error={isTried && !who.trim() ? t("whoMissing") : undefined} />
      <div class={isTried && !isAgreed ? "studio-wrong" : undefined}>
        <Checkbox label={t("consent")} isChecked={isAgreed} onChange={setAgreed} />
        {isTried && !isAgreed && <p class="field-error" role="alert">{t("consentMissing")}</p>}
      </div>
      <p class="studio-promise"><Icon name="eye" /><span>{t("promise")}</span></p>
      {problem !== null && <Trouble error={problem} />}
      <Button kind="primary" type="submit" isBusy={isBusy}>{isBusy ? t("sending") : t("begin")}</Button>
    </form>
  );
}

function roleName(role: string): "photoHero" | "photoSibling" | "photoOther" {
  return role === "hero" ? "photoHero" : role === "sibling" ? "photoSibling" : "photoOther";
}
