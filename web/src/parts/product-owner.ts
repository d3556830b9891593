/** Whose things a product's screen shows: products list those of one owner. */
import { useSession } from "~/app/session";

export interface ProductOwner {
  /** The query that names another owner. */
  query: { owner?: string };
  /** The name of another owner, whose things can only be looked at; empty for one's own. */
  other: string;
}

/** Return whose things are shown. Where the console shows all owners, they are the caller's own. */
export function useProductOwner(): ProductOwner {
  const { me, owner } = useSession();
  const other = owner && owner !== "*" && owner !== me?.owner ? owner : "";
  return { query: other ? { owner: other } : {}, other };
}

/** Return the path and query of an address of this server, so that it works behind any host name. */
export function localUrl(url: string): string {
  const { pathname, search } = new URL(url, location.origin);
  return pathname.startsWith("/blobs/") || pathname.startsWith("/api/") ? pathname + search : url;
}
