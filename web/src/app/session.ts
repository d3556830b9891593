/** Who is signed in, what they may do, and whose things are shown. */
import { useSyncExternalStore } from "preact/compat";
import { setFeedOwner } from "~/api/feed";
import { Problem, type Schema, onUnauthenticated, send, setCsrfToken } from "~/api/http";
import { queries } from "~/api/queries";

export type Me = Schema<"CallerInfo">;

export interface Session {
  /** Null while nobody is signed in on a server that has keys. */
  me: Me | null;
  /** The owner whose things are shown; `*` for all. Empty means the caller's own. */
  owner: string;
  isLoaded: boolean;
}

let session: Session = { me: null, owner: "", isLoaded: false };
const listeners = new Set<() => void>();

function set(next: Partial<Session>): void {
  session = { ...session, ...next };
  for (const listener of listeners) listener();
}

export function useSession(): Session {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => session,
  );
}

/** Whether the caller has this scope, as `jobs:write`. */
export function may(scope: string): boolean {
  return session.me?.scopes.some((each) => each === scope) ?? false;
}

/** Return the query that names the owner whose things are shown; for routes that take `owner`. */
export function ownerQuery(): { owner?: string } {
  return session.owner ? { owner: session.owner } : {};
}

/** Show the things of this owner, `*` for all; empty for the caller's own. */
export function showOwner(owner: string): void {
  if (owner === session.owner) return;
  set({ owner });
  setFeedOwner(owner);
  void queries.invalidateQueries();
}

interface SessionAnswer {
  csrf: string;
  me: Me;
}

/** Read who is signed in. A server without keys needs no session. */
export async function loadSession(): Promise<void> {
  try {
    const answer = await send<SessionAnswer>("GET", "/api/v1/session");
    signedIn(answer);
  } catch (error) {
    if (!(error instanceof Problem) || error.status !== 401) throw error;
    set({ me: null, isLoaded: true });
  }
}

/** Take over the answer of a sign-in. */
export function signedIn(answer: SessionAnswer): void {
  setCsrfToken(answer.csrf);
  set({ me: answer.me, owner: "", isLoaded: true });
  if (may("jobs:all") || may("admin")) showOwner("*");
  queries.clear();
}

export async function signOut(): Promise<void> {
  await send("DELETE", "/api/v1/session");
  setCsrfToken("");
  queries.clear();
  set({ me: null, owner: "" });
}

onUnauthenticated(() => {
  if (session.isLoaded && session.me) set({ me: null });
});
