/** The frame around every screen: menu, search, live state, account, and the notices that stand on every page. */
import type { ComponentChildren } from "preact";
import { Suspense } from "preact/compat";
import { useErrorBoundary, useState } from "preact/hooks";
import { Link, Route, Switch, useLocation } from "wouter-preact";
import { useFeedState } from "~/api/feed";
import { Button, ButtonLink, IconButton } from "~/parts/button";
import { Icon } from "~/parts/icon";
import { Empty, ProblemNotice } from "~/parts/page";
import { AccountMenu } from "./account-menu";
import { Banners } from "./banners";
import { useMessages } from "./i18n";
import { messages } from "./messages";
import { SCREENS, type Screen } from "./navigation";
import { Palette, usePalette } from "./palette";
import { may } from "./session";
import { Toasts } from "./toasts";

/** Return the screens that the caller may open, in the order of the menu. */
export function offered(): Screen[] {
  return SCREENS.filter((screen) => !screen.isHidden && (!screen.scope || may(screen.scope)));
}

const GROUPS = ["pictures", "work", "products", "installation"] as const;
const ON_PHONE = 4;

export function Shell() {
  const t = useMessages(messages);
  const [path] = useLocation();
  const [isMenuOpen, setMenuOpen] = useState(false);
  const palette = usePalette();
  const screens = offered();
  const link = (screen: Screen) => (
    <Link key={screen.name} href={screen.path} class="nav-link" aria-current={isAt(screen, path) ? "page" : undefined} onClick={() => setMenuOpen(false)}>
      <Icon name={screen.icon} />
      <span>{t(screen.name)}</span>
    </Link>
  );
  return (
    <div class={`shell${isMenuOpen ? " shell-open" : ""}`}>
      <a class="skip-link" href="#content">{t("skip")}</a>
      <header class="top">
        <IconButton icon="menu" label={t("menu")} aria-expanded={isMenuOpen} onClick={() => setMenuOpen(!isMenuOpen)} />
        <Link href="/" class="brand" aria-label="Imagemill">
          <img src="/assets/icon.svg" alt="" width={24} height={24} />
          <span>Imagemill</span>
        </Link>
        <button type="button" class="search-button" aria-label={t("search")} onClick={palette.open}>
          <Icon name="search" />
          <span>{t("search")}</span>
          <kbd>Ctrl K</kbd>
        </button>
        <FeedDot />
        <AccountMenu />
      </header>
      <nav class="side" aria-label={t("menu")}>
        {GROUPS.map((group) => <div key={group} class="nav-group">{screens.filter((screen) => screen.group === group).map(link)}</div>)}
      </nav>
      <nav class="bottom" aria-label={t("menu")}>
        {screens.slice(0, ON_PHONE).map(link)}
        <button type="button" class="nav-link" aria-expanded={isMenuOpen} onClick={() => setMenuOpen(!isMenuOpen)}>
          <Icon name="more" />
          <span>{t("more")}</span>
        </button>
      </nav>
      <main id="content" tabIndex={-1}>
        <Banners />
        <Guard key={path}>
          <Suspense fallback={null}>
            <Switch>
              {SCREENS.flatMap((screen) => [screen.path, ...(screen.more ?? [])].map((pattern) => <Route key={pattern} path={pattern} component={screen.component} />))}
              <Route>
                <Empty icon="search" title={t("unknownPage")}>
                  <ButtonLink href="/" kind="primary">{t("home")}</ButtonLink>
                </Empty>
              </Route>
            </Switch>
          </Suspense>
        </Guard>
      </main>
      <Palette {...palette} />
      <Toasts />
    </div>
  );
}

function isAt(screen: Screen, path: string): boolean {
  return [screen.path, ...(screen.more ?? [])].some((pattern) => (pattern === "/" ? path === "/" : path === pattern || path.startsWith(`${pattern.split("/:")[0]}/`)));
}

/** Shows what failed instead of an empty page. */
function Guard({ children }: { children: ComponentChildren }) {
  const t = useMessages(messages);
  const [error] = useErrorBoundary();
  if (!error) return <>{children}</>;
  return (
    <section class="page">
      <h1>{t("failed")}</h1>
      <ProblemNotice error={error} />
      <Button icon="refresh" kind="primary" onClick={() => location.reload()}>{t("reload")}</Button>
    </section>
  );
}

function FeedDot() {
  const t = useMessages(messages);
  const state = useFeedState();
  return <span class={`feed-dot feed-${state}`} role="status" title={t(state)}><span class="visually-hidden">{t(state)}</span></span>;
}
