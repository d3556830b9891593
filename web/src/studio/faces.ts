/** The sides of a book's leaves, in the order in which they are turned. */
import { BACK_COVER, type Bound, FRONT_COVER } from "./book";

export interface Face {
  /** Its name in the address: the number of a page, `front`, `back`, or `inside-N`. */
  key: string;
  kind: "cover" | "page" | "paper" | "later";
  /** The number of the page; covers have one too. */
  page?: number;
  src?: string;
  /** Where it is drawn already for everybody, while it is not painted for this child. */
  drawn?: string;
  isPainting?: boolean;
  isFailed?: boolean;
}

interface PageLike {
  page: number;
  url: string | null;
  state?: string;
}

interface Contents {
  bound: Bound | null;
  pages: readonly PageLike[];
  /** Whether all pages are asked for; else only those of the preview. */
  isWhole: boolean;
  frontUrl?: string;
  backUrl?: string;
}

const paper = (key: string): Face => ({ key, kind: "paper" });

/** Return the faces from the front cover to the back cover; an even number, two to a leaf. */
export function facesOf({ bound, pages, isWhole, frontUrl, backUrl }: Contents): Face[] {
  const known = new Map(pages.map((page) => [page.page, page]));
  const order = bound?.order ?? pages.map((page) => page.page).filter((page) => page < FRONT_COVER);
  const face = (page: number): Face => {
    const made = known.get(page);
    if (!made) return { key: String(page), kind: "later", page };
    const key = page === FRONT_COVER ? "front" : page === BACK_COVER ? "back" : String(page);
    const isPainting = made.state === "pending" || made.state === "generating";
    return { key, kind: page === FRONT_COVER || page === BACK_COVER ? "cover" : "page", page, src: made.url ?? undefined, isPainting, isFailed: made.state === "failed" };
  };
  const cover = (page: number, key: string, drawn?: string): Face => (known.has(page) ? { ...face(page), drawn } : { key, kind: "cover", drawn });
  const block = order.map((page, at) => (page === null ? paper(`inside-${at + 1}`) : face(page)));
  const inner = [paper("inside-0"), ...block, ...(block.length % 2 ? [paper("inside-last"), paper("inside-end")] : [paper("inside-end")])];
  const shown = isWhole ? inner : inner.filter((_, at) => isInPreview(inner, at - (at % 2)));
  return [cover(FRONT_COVER, "front", frontUrl), ...shown, cover(BACK_COVER, "back", backUrl)];
}

/** Whether one of the two facing pages from this index on is made for the preview. */
function isInPreview(faces: readonly Face[], left: number): boolean {
  return faces.slice(left, left + 2).some((face) => face.kind === "page");
}

/** Return the faces for a screen that shows one page at a time: without empty ones. */
export function singleFaces(faces: readonly Face[]): Face[] {
  return faces.filter((face) => face.kind !== "paper" && face.kind !== "later");
}
