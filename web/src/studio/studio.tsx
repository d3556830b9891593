/** The studio: who is here, the frame, and the page of each address. */
import { useEffect, useState } from "preact/hooks";
import { Link, Redirect, Route, Switch, useLocation } from "wouter-preact";
import { LANGUAGES, type Language, setLanguage, useLanguage, useMessages } from "~/app/i18n";
import { Button } from "~/parts/button";
import { Select } from "~/parts/field";
import { Icon } from "~/parts/icon";
import { MadeBookPage } from "./made";
import { messages } from "./messages";
import { Trouble } from "./parts";
import { SharedBookPage } from "./shared";
import { Shelf } from "./shelf";
import { loadVisitor, signOut, useVisitor } from "./session";
import { SignInForm } from "./sign-in";
import { StartPage } from "./start";

export function Studio() {
  const [path] = useLocation();
  useEffect(() => window.scrollTo(0, 0), [path]);
  return (
    <div class="studio">
      <Switch>
        <Route path="/books/shared/:token">{({ token }) => <Frame isReader><SharedBookPage token={token} /></Frame>}</Route>
        <Route><Frame><SignedIn /></Frame></Route>
      </Switch>
    </div>
  );
}

/** The head of every page, and its content. A reader of a shared book has no way to other books. */
function Frame({ children, isReader }: { children: preact.ComponentChildren; isReader?: boolean }) {
  const t = useMessages(messages);
  const language = useLanguage();
  const { hasSession } = useVisitor();
  const options = Object.entries(LANGUAGES).map(([value, label]) => ({ value, label }));
  const brand = <><Icon name="book" size={26} /><span>{t("brand")}</span></>;
  return (
    <>
      <header class="studio-head">
        {isReader ? <span class="studio-brand">{brand}</span> : <Link class="studio-brand" href="/books">{brand}</Link>}
        {hasSession && <Button kind="quiet" onClick={() => void signOut()}>{t("signOut")}</Button>}
        <Select label={t("language")} isLabelHidden value={language} onChange={(value) => setLanguage(value as Language)} options={options} />
      </header>
      <main class="studio-main">{children}</main>
    </>
  );
}

/** The pages that need to know who is here. */
function SignedIn() {
  const { isLoaded, isKnown } = useVisitor();
  const [problem, setProblem] = useState<unknown>(null);
  const load = () => {
    setProblem(null);
    loadVisitor().catch(setProblem);
  };
  useEffect(load, []);
  if (problem) return <Trouble error={problem} onRetry={load} />;
  if (!isLoaded) return null;
  if (!isKnown) return <SignInForm />;
  return (
    <Switch>
      <Route path="/books"><Shelf /></Route>
      <Route path="/books/made/:id/:step?">{({ id, step }) => <MadeBookPage key={id} id={id} step={step ?? ""} />}</Route>
      <Route path="/books/:slug">{({ slug }) => <StartPage key={slug} slug={slug} />}</Route>
      <Route><Redirect to="/books" replace /></Route>
    </Switch>
  );
}
