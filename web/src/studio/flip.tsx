/**
 * A book whose leaves are turned: by buttons, arrow keys, Home and End, or a swipe.
 *
 * A wide screen shows two facing pages, a narrow one a page at a time. The leaves turn by CSS; with reduced motion
 * they change at once. The book is as thick as it will be printed, in proportion to the width of its pages.
 */
import { useEffect, useRef, useState } from "preact/hooks";
import { useMessages } from "~/app/i18n";
import { IconButton } from "~/parts/button";
import { type Bound, FRONT_COVER } from "./book";
import { type Face, singleFaces } from "./faces";
import { messages } from "./messages";
import { Bar, Linked } from "./parts";

const SWIPE_PX = 40;
/** Leaves this far from the open one have no pictures yet. */
const NEAR = 2;
const WIDE = "(min-width: 46rem)";

interface FlipBookProps {
  title: string;
  faces: Face[];
  /** The key of the face that is open. */
  at: string;
  onTurn: (key: string) => void;
  bound: Bound | null;
  progress?: Record<number, number>;
  onExpired?: () => void;
}

/** Return whether two facing pages fit on the screen. */
export function useIsWide(): boolean {
  const [isWide, setWide] = useState(() => matchMedia(WIDE).matches);
  useEffect(() => {
    const query = matchMedia(WIDE);
    const onChange = () => setWide(query.matches);
    query.addEventListener("change", onChange);
    return () => query.removeEventListener("change", onChange);
  }, []);
  return isWide;
}

/** Return the faces that are seen when the one with this key is open. */
export function openFaces(faces: readonly Face[], key: string, isWide: boolean): Face[] {
  if (!isWide) return [singleFaces(faces).find((face) => face.key === key) ?? nearest(faces, key)].filter((face) => face !== undefined);
  const turned = turnedLeaves(faces, key);
  return [faces[2 * turned - 1], faces[2 * turned]].filter((face) => face !== undefined);
}

function nearest(faces: readonly Face[], key: string): Face | undefined {
  const at = faces.findIndex((face) => face.key === key);
  return at < 0 ? faces[0] : (singleFaces(faces.slice(at))[0] ?? faces.at(-1));
}

function turnedLeaves(faces: readonly Face[], key: string): number {
  return Math.ceil(Math.max(0, faces.findIndex((face) => face.key === key)) / 2);
}

export function FlipBook(props: FlipBookProps) {
  const { title, faces, at, onTurn, bound } = props;
  const t = useMessages(messages);
  const isWide = useIsWide();
  const shown = isWide ? faces : singleFaces(faces);
  const open = openFaces(faces, at, isWide);
  const most = isWide ? faces.length / 2 : Math.max(0, shown.length - 1);
  const turned = isWide ? turnedLeaves(faces, at) : Math.max(0, shown.findIndex((face) => face.key === open[0]?.key));
  const turnTo = (next: number) => {
    const to = Math.min(most, Math.max(0, next));
    const face = isWide ? (faces[2 * to] ?? faces[2 * to - 1]) : shown[to];
    const left = isWide ? faces[2 * to - 1] : undefined;
    const target = left && left.kind !== "paper" ? left : face;
    if (to !== turned && target) onTurn(target.key);
  };
  const swipe = useSwipe((step) => turnTo(turned + step));
  const onKeyDown = (event: KeyboardEvent) => {
    const moves: Record<string, number> = { ArrowRight: turned + 1, ArrowLeft: turned - 1, Home: 0, End: most, PageDown: turned + 1, PageUp: turned - 1 };
    const next = moves[event.key];
    if (next === undefined) return;
    event.preventDefault();
    turnTo(next);
  };
  const ratio = bound ? bound.widthMm / bound.heightMm : 1;
  const thick = bound ? bound.spineMm / bound.widthMm : 0;
  const isFirst = turned === 0;
  const isLast = turned === most;
  return (
    <div class={`flip${isWide ? " flip-wide" : ""}`} style={{ "--ratio": ratio, "--thick": thick, "--read": most ? turned / most : 0 }}>
      <div class="flip-stage" role="group" aria-roledescription={t("book")} aria-label={t("bookKeys", { title })} tabIndex={0} onKeyDown={onKeyDown} {...swipe}>
        <div class={`flip-book${isFirst ? " flip-shut" : ""}${isLast && isWide ? " flip-over" : ""}`}>
          <span class="flip-spine" aria-hidden="true" />
          <span class="flip-edge flip-edge-left" aria-hidden="true" />
          <span class="flip-edge flip-edge-right" aria-hidden="true" />
          {isWide
            ? Array.from({ length: most }, (_, leaf) => (
              <Leaf key={leaf} isTurned={leaf < turned} depth={leaf < turned ? leaf + 1 : most - leaf}>
                <Side face={faces[2 * leaf]} isSeen={leaf === turned} isNear={Math.abs(leaf - turned) <= NEAR} {...props} />
                <Side face={faces[2 * leaf + 1]} isSeen={leaf === turned - 1} isNear={Math.abs(leaf - turned + 1) <= NEAR} {...props} />
              </Leaf>
            ))
            : shown.map((face, leaf) => (
              <Leaf key={face.key} isTurned={leaf < turned} depth={shown.length - leaf}>
                <Side face={face} isSeen={leaf === turned} isNear={Math.abs(leaf - turned) <= NEAR} {...props} />
                <Side face={undefined} isSeen={false} isNear={false} {...props} />
              </Leaf>
            ))}
        </div>
      </div>
      <div class="flip-controls">
        <IconButton icon="left" label={t("turnBack")} disabled={isFirst} onClick={() => turnTo(turned - 1)} />
        <p aria-live="polite">{open.map((face) => faceName(face, t)).filter(Boolean).join(" · ") || title}</p>
        <IconButton icon="right" label={t("turn")} disabled={isLast} onClick={() => turnTo(turned + 1)} />
      </div>
    </div>
  );
}

function Leaf({ isTurned, depth, children }: { isTurned: boolean; depth: number; children: preact.ComponentChildren }) {
  return <div class={`flip-leaf${isTurned ? " flip-turned" : ""}`} style={{ zIndex: depth }}>{children}</div>;
}

type Say = (key: "page" | "frontCover" | "backCover", values?: Record<string, number>) => string;

/** Return what a face is called. */
export function faceName(face: Face, t: Say): string {
  if (face.kind === "cover") return face.key === "front" ? t("frontCover") : t("backCover");
  if (face.page === undefined) return "";
  return face.page < FRONT_COVER ? t("page", { page: face.page }) : "";
}

interface SideProps {
  face: Face | undefined;
  isSeen: boolean;
  isNear: boolean;
  title: string;
  progress?: Record<number, number>;
  onExpired?: () => void;
}

function Side({ face, isSeen, isNear, title, progress, onExpired }: SideProps) {
  const t = useMessages(messages);
  if (!face || face.kind === "paper") return <div class="flip-side flip-paper" aria-hidden="true" />;
  const alt = faceName(face, t) || t("extraPage");
  const src = face.src ?? face.drawn;
  const done = face.page === undefined ? undefined : progress?.[face.page];
  return (
    <div class={`flip-side flip-${face.kind}`} aria-hidden={!isSeen}>
      {src && isNear && <Linked src={src} alt={alt} onExpired={face.src ? onExpired : undefined} className={face.src ? "flip-picture" : "flip-picture flip-drawn"} />}
      {!src && face.kind === "cover" && <p class="flip-title">{title}</p>}
      {face.kind === "later" && <p class="flip-note">{t("later")}</p>}
      {face.isFailed && !face.src && <p class="flip-note">{t("failedPage")}</p>}
      {face.isPainting && (
        <div class="flip-painting">
          <span class="studio-brush" aria-hidden="true" />
          <p>{t("paintingPage")}</p>
          {done !== undefined && <Bar value={done} />}
        </div>
      )}
    </div>
  );
}

/** Return handlers that call with 1 for a swipe to the left, the next page, and -1 for one to the right. */
function useSwipe(onSwipe: (step: number) => void) {
  const from = useRef<{ x: number; y: number } | null>(null);
  return {
    onPointerDown: (event: PointerEvent) => {
      from.current = { x: event.clientX, y: event.clientY };
    },
    onPointerUp: (event: PointerEvent) => {
      const start = from.current;
      from.current = null;
      if (!start) return;
      const moved = event.clientX - start.x;
      if (Math.abs(moved) > SWIPE_PX && Math.abs(moved) > Math.abs(event.clientY - start.y)) onSwipe(moved < 0 ? 1 : -1);
    },
    onPointerCancel: () => {
      from.current = null;
    },
  };
}
