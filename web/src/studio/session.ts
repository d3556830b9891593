/** Who is here: somebody with a session of the console, or anybody on a server without keys. */
import { useSyncExternalStore } from "preact/compat";
import { type Schema, api, data, onUnauthenticated, setCsrfToken } from "~/api/http";

export interface Visitor {
  isLoaded: boolean;
  /** Whether they may see books; false while a sign-in is needed. */
  isKnown: boolean;
  /** Whether they have a session, which they can end. */
  hasSession: boolean;
  /** Whether they may have the pages after the preview made. */
  mayUnlock: boolean;
}

const NOBODY: Visitor = { isLoaded: true, isKnown: false, hasSession: false, mayUnlock: false };
let visitor: Visitor = { ...NOBODY, isLoaded: false };
const listeners = new Set<() => void>();

function set(next: Visitor): void {
  visitor = next;
  for (const listener of listeners) listener();
}

export function useVisitor(): Visitor {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => visitor,
  );
}

function take({ signedIn, csrf, me }: Schema<"SignInState">): void {
  setCsrfToken(csrf ?? "");
  set({ isLoaded: true, isKnown: me !== null, hasSession: signedIn, mayUnlock: me?.scopes.some((scope) => scope === "books:unlock") ?? false });
}

/** Read who is here. A server without keys needs no session. */
export async function loadVisitor(): Promise<void> {
  take(await data(api.GET("/api/v1/session")));
}

export async function signIn(email: string, password: string): Promise<void> {
  take(await data(api.POST("/api/v1/session", { body: { email, password, readOnly: false } })));
}

export async function signOut(): Promise<void> {
  await data(api.DELETE("/api/v1/session"));
  setCsrfToken("");
  set(NOBODY);
}

onUnauthenticated(() => {
  if (visitor.isKnown) set(NOBODY);
});
