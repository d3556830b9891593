/** Small parts of the studio: troubles in plain words, pictures, and how far something is. */
import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Problem } from "~/api/http";
import { useMessages } from "~/app/i18n";
import { Button } from "~/parts/button";
import { Notice } from "~/parts/page";
import { messages } from "./messages";

/** Return the function that says a problem in plain words, and what to do. */
export function useTroubleWords(): (error: unknown) => string {
  const t = useMessages(messages);
  return (error) => {
    if (!(error instanceof Problem)) return t("troubleUnknown");
    if (error.status === 0) return t("troubleOffline");
    if (error.status === 401) return t("signInText");
    if (error.status === 402) return t("troubleCredits");
    if (error.status === 403) return t("troubleForbidden");
    if (error.status === 404) return t("troubleGone");
    if (error.status === 409) return t("troubleMoved");
    if (error.status === 413) return t("troubleLarge");
    if (error.status === 415) return t("troubleType");
    if (error.status === 429) return t("troubleWait");
    if (error.code === "content_blocked") return t("troubleWords");
    const fields = Object.keys(error.errors);
    if (fields.some((field) => field.startsWith("photo"))) return t("troublePhoto");
    if (fields.includes("childName")) return t("troubleName");
    if (fields.includes("feedback")) return t("troubleFeedback");
    return t("troubleUnknown");
  };
}

/** A problem, with a button that tries again. */
export function Trouble({ error, onRetry }: { error: unknown; onRetry?: () => void }) {
  const t = useMessages(messages);
  const words = useTroubleWords();
  return (
    <Notice tone="bad" actions={onRetry && <Button icon="refresh" onClick={onRetry}>{t("again")}</Button>}>
      <p>{words(error)}</p>
    </Notice>
  );
}

/** Set the title of the tab. */
export function useTitle(title: string): void {
  useEffect(() => {
    document.title = title;
  }, [title]);
}

interface Ask {
  isBusy: boolean;
  problem: unknown;
  /** Ask the server for something; a problem is kept until the next time. */
  ask: (request: () => Promise<unknown>) => void;
}

/** Return how one request of a form stands, and the function that sends it. */
export function useAsk(onFailure?: () => void): Ask {
  const [isBusy, setBusy] = useState(false);
  const [problem, setProblem] = useState<unknown>(null);
  const ask = (request: () => Promise<unknown>) => {
    setBusy(true);
    setProblem(null);
    request()
      .catch((error: unknown) => {
        setProblem(error);
        onFailure?.();
      })
      .finally(() => setBusy(false));
  };
  return { isBusy, problem, ask };
}

/** A wait with its reason, drawn as a brush at work. `value` is between 0 and 1 where it is known. */
export function Painting({ children, value }: { children: ComponentChildren; value?: number }) {
  return (
    <div class="studio-painting" role="status">
      <span class="studio-brush" aria-hidden="true" />
      <p>{children}</p>
      {value !== undefined && <Bar value={value} />}
    </div>
  );
}

export function Bar({ value }: { value: number }) {
  return <span class="studio-bar" aria-hidden="true"><span style={{ width: `${Math.round(value * 100)}%` }} /></span>;
}

/** A picture by a link that expires: the book is read again once it is refused. */
export function Linked({ src, alt, onExpired, className }: { src: string; alt: string; onExpired?: () => void; className?: string }) {
  const [failed, setFailed] = useState("");
  if (failed === src) return <span class="studio-missing" role="img" aria-label={alt} />;
  return (
    <img class={className} src={src} alt={alt} decoding="async" draggable={false}
      onError={() => {
        setFailed(src);
        onExpired?.();
      }} />
  );
}
