/** One job in the list. */
import type { RefObject } from "preact";
import { memo } from "preact/compat";
import { Link } from "wouter-preact";
import type { ProgressNews } from "~/api/feed";
import { ago, moment, useMessages } from "~/app/i18n";
import { Icon } from "~/parts/icon";
import { Menu, type MenuItem } from "~/parts/menu";
import { Picture } from "~/parts/picture";
import { StatusBadge } from "~/parts/status";
import type { JobRow } from "./jobs";
import { messages } from "./messages";

interface RowProps {
  row: JobRow;
  isSelected: boolean;
  isActive: boolean;
  hasOwner: boolean;
  progress?: ProgressNews;
  starts?: string;
  /** Changes when the age should be written again. */
  time: number;
  /** What can be done with a row; the newest functions, which are no reason to render it again. */
  acts: RefObject<{ items: (row: JobRow) => MenuItem[]; select: (row: JobRow, isRange: boolean) => void }>;
}

export const Row = memo(function Row({ row, isSelected, isActive, hasOwner, progress, starts, acts }: RowProps) {
  const t = useMessages(messages);
  const title = row.prompt || row.recipe;
  const isRunning = row.status === "running";
  const why = row.error || row.waits;
  const items = acts.current?.items(row) ?? [];
  return (
    <div class={`queue-row${isSelected ? " queue-selected" : ""}${isActive ? " queue-active" : ""}`} aria-current={isActive ? "true" : undefined}>
      <input type="checkbox" class="queue-check" aria-label={t("select", { name: title })} checked={isSelected} tabIndex={-1}
        onClick={(event) => acts.current?.select(row, event.shiftKey)} />
      <div class="queue-thumb">
        {isRunning && progress?.preview ? <Picture src={progress.preview} alt={title} />
          : row.artifact ? <Picture src={`/api/v1/artifacts/${row.artifact}/thumbnail?width=128`} alt={title} />
          : <Icon name={row.status === "failed" ? "failures" : "gallery"} />}
      </div>
      <StatusBadge status={row.status} />
      <div class="queue-what">
        <Link href={`/jobs/${row.id}`} title={title}>{title}</Link>
        <span class="queue-why" title={why}>
          {isRunning && progress ? `${t("step", { step: progress.step, total: progress.total })}${progress.note ? ` · ${progress.note}` : ""}` : why || row.recipe}
        </span>
      </div>
      <span class="queue-cell queue-model" title={row.model}>{row.model}</span>
      {hasOwner && <span class="queue-cell queue-owner" title={row.owner}>{row.owner}</span>}
      <span class="queue-cell queue-node" title={row.node}>{row.node}</span>
      <span class="queue-cell queue-attempts" title={t("attemptsOf", { attempt: row.attempt, most: row.maxFailures })}>
        {row.attempt > 0 && t("attempt", { count: row.attempt })}
        {row.replays > 0 && <span class="queue-mark" title={t("replayed", { count: row.replays })}><Icon name="refresh" size={14} />{row.replays}</span>}
        {row.priority !== 0 && <span class="queue-mark" title={t("priorityIs", { priority: row.priority })}><Icon name="fast" size={14} />{row.priority}</span>}
      </span>
      <span class="queue-cell queue-starts">{starts}</span>
      <time class="queue-cell queue-age" dateTime={row.createdAt} title={moment(row.createdAt)}>{ago(row.createdAt)}</time>
      {items.length > 0 ? <Menu label={t("actions", { name: title })} items={items} /> : <span />}
    </div>
  );
});
