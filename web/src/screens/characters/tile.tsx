/** A cell of the board: its active picture and its state. */
import { useMessages } from "~/app/i18n";
import { Icon } from "~/parts/icon";
import { localUrl } from "~/parts/product-owner";
import { Progress } from "~/parts/status";
import { messages } from "./messages";
import { type Cell, EMOTIONS } from "./pictures";

/** Return the function that names a cell in the reader's language. */
export function useCellName(): (cell: { kind: string; emotion: string }) => string {
  const t = useMessages(messages);
  return ({ kind, emotion }) => {
    if (!emotion) return kind === "avatar" || kind === "cover" || kind === "scene" ? t(kind) : t("sticker");
    return EMOTIONS.find((each) => each === emotion) ? t(emotion as (typeof EMOTIONS)[number]) : emotion;
  };
}

export function Tile({ cell, label, progress, onOpen }: { cell: Cell; label: string; progress?: number; onOpen: () => void }) {
  const t = useMessages(messages);
  const { job, active } = cell;
  const state = job ? (job.status === "failed" ? "failed" : job.status === "running" ? "running" : "waiting") : active ? "" : "empty";
  return (
    <button type="button" class={`characters-tile characters-${cell.kind}${state ? ` characters-is-${state}` : ""}`} aria-label={state ? `${label}: ${t(state)}` : label} onClick={onOpen}>
      {active ? <img src={localUrl(active.thumbnailUrl)} alt="" loading="lazy" decoding="async" /> : <Icon name={state === "failed" ? "failures" : cell.kind === "sticker" ? "characters" : "gallery"} size={28} />}
      <span class="characters-label">
        <span>{label}</span>
        {state && <span class="characters-state">{t(state)}</span>}
        {!state && cell.pictures.length > 1 && <span class="characters-count">{cell.pictures.length}</span>}
      </span>
      {state === "running" && progress !== undefined && <Progress progress={progress} label={label} />}
    </button>
  );
}
