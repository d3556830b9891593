/** Who is here: the session of the console, or anybody on a server without keys. */
import { useSyncExternalStore } from "preact/compat";
import { Problem, type Schema, onUnauthenticated, send, setCsrfToken } from "~/api/http";

export interface Visitor {
  isLoaded: boolean;
  isSignedIn: boolean;
  /** Whether they may have the pages after the preview made. */
  mayUnlock: boolean;
}

interface SessionAnswer {
  csrf: string;
  me: Schema<"CallerInfo">;
}

let visitor: Visitor = { isLoaded: false, isSignedIn: false, mayUnlock: false };
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

/** Read who is here. A server without keys needs no session. */
export async function loadVisitor(): Promise<void> {
  try {
    const { csrf, me } = await send<SessionAnswer>("GET", "/api/v1/session");
    setCsrfToken(csrf);
    set({ isLoaded: true, isSignedIn: true, mayUnlock: me.scopes.some((scope) => scope === "books:unlock") });
  } catch (error) {
    if (!(error instanceof Problem) || error.status !== 401) throw error;
    set({ isLoaded: true, isSignedIn: false, mayUnlock: false });
  }
}

onUnauthenticated(() => {
  if (visitor.isSignedIn) set({ isLoaded: true, isSignedIn: false, mayUnlock: false });
});
