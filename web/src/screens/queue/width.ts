/** Whether the page is as narrow as a phone, where a row has two lines. */
import { useSyncExternalStore } from "preact/compat";

const narrow = matchMedia("(max-width: 48rem)");

export function useIsNarrow(): boolean {
  return useSyncExternalStore(
    (listener) => {
      narrow.addEventListener("change", listener);
      return () => narrow.removeEventListener("change", listener);
    },
    () => narrow.matches,
  );
}
