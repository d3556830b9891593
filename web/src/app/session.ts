/** Who is signed in, what they may do, and whose things are shown. */
import { useSyncExternalStore } from "preact/compat";
import { setFeedOwner } from "~/api/feed";
import { type Schema, api, data, onUnauthenticated, setCsrfToken } from "~/api/http";
import { queries } from "~/api/queries";

export type Me = Schema<"CallerInfo">;

export interface Session {
  /** Null while nobody is signed in on a server that has keys. */
  me: Me | null;
  /** The owner whose things are shown; `*` for all. Empty means the caller's own. */
  owner: string;
  isLoaded: boolean;
  /** Whether the session was begun to look only. */
  isReadOnly: boolean;
  /** Why the sign-in link of the address did not work. */
  problem: unknown;
}

let session: Session = { me: null, owner: "", isLoaded: false, isReadOnly: false, problem: null };
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

type SignInState = Schema<"SignInState">;

/** Read who is signed in, or sign in by the one-time link of the address. A server without keys needs no session. */
export async function loadSession(): Promise<void> {
  const code = new URLSearchParams(location.hash.slice(1)).get("code");
  if (code) {
    history.replaceState(null, "", location.pathname + location.search);
    try {
      signedIn(await data(api.POST("/api/v1/session", { body: { code, readOnly: false } })));
      return;
    } catch (problem) {
      set({ problem });
    }
  }
  signedIn(await data(api.GET("/api/v1/session")));
}

/** Take over who is signed in. */
export function signedIn(answer: SignInState): void {
  setCsrfToken(answer.csrf ?? "");
  queries.clear();
  set({ me: answer.me, owner: "", isLoaded: true, isReadOnly: answer.session?.readOnly ?? false });
  if (may("jobs:all") || may("admin")) showOwner("*");
}

export async function signOut(): Promise<void> {
  await data(api.DELETE("/api/v1/session"));
  setCsrfToken("");
  queries.clear();
  set({ me: null, owner: "", isReadOnly: false });
}

onUnauthenticated(() => {
  if (session.isLoaded && session.me) set({ me: null });
});
