/** State that outlives a component: in the URL, in the tab, or in the browser. */
import { useCallback, useEffect, useState } from "preact/hooks";
import { useLocation, useSearch } from "wouter-preact";

/** Return a value of the URL's query and the function that sets it; the empty text removes it. */
export function useUrlState(name: string, initial = ""): [string, (value: string) => void] {
  const search = useSearch();
  const [, navigate] = useLocation();
  const value = new URLSearchParams(search).get(name) ?? initial;
  const set = useCallback(
    (next: string) => {
      const query = new URLSearchParams(location.search);
      if (next === initial) query.delete(name);
      else query.set(name, next);
      const text = query.toString();
      navigate(location.pathname + (text ? `?${text}` : ""), { replace: true });
    },
    [name, initial, navigate],
  );
  return [value, set];
}

/** Return a form's value that survives reloads of the tab, the function that sets it, and one that clears it. */
export function useDraft<T>(key: string, initial: T): [T, (value: T) => void, () => void] {
  const stored = `imagemill.draft.${key}`;
  const [value, setValue] = useState<T>(() => read(sessionStorage, stored) ?? initial);
  useEffect(() => write(sessionStorage, stored, value), [stored, value]);
  const clear = useCallback(() => setValue(initial), [initial]);
  return [value, setValue, clear];
}

/** Return a preference that the browser keeps, and the function that sets it. */
export function usePreference<T>(key: string, initial: T): [T, (value: T) => void] {
  const stored = `imagemill.${key}`;
  const [value, setValue] = useState<T>(() => read(localStorage, stored) ?? initial);
  const set = useCallback(
    (next: T) => {
      setValue(next);
      write(localStorage, stored, next);
    },
    [stored],
  );
  return [value, set];
}

function read<T>(storage: Storage, key: string): T | null {
  try {
    const text = storage.getItem(key);
    return text === null ? null : (JSON.parse(text) as T);
  } catch {
    return null;
  }
}

function write(storage: Storage, key: string, value: unknown): void {
  try {
    storage.setItem(key, JSON.stringify(value));
  } catch {
    // Storage may be full or switched off; the value holds until the page is closed.
  }
}
