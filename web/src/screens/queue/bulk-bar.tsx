/** What is selected, and the actions on it. */
import { useMessages } from "~/app/i18n";
import { Button } from "~/parts/button";
import type { Action } from "~/parts/bulk-dialog";
import { messages } from "./messages";

interface BulkBarProps {
  count: number;
  /** Whether all jobs of the filter are selected, and not only those of the list. */
  isAll: boolean;
  /** The number of jobs that match; null where it is not known. */
  total: number | null;
  onAll: () => void;
  onNone: () => void;
  onAct: (action: Action) => void;
}

const ACTIONS = [["cancel", "cancel"], ["replay", "refresh"], ["priority", "fast"], ["delete", "delete"]] as const;

export function BulkBar({ count, isAll, total, onAll, onNone, onAct }: BulkBarProps) {
  const t = useMessages(messages);
  if (!count && !isAll) return null;
  const said = !isAll ? t("selected", { count }) : total === null ? t("allUncounted") : t("allSelected", { count: total });
  return (
    <div class="queue-bulk" role="toolbar" aria-label={said}>
      <strong role="status">{said}</strong>
      {!isAll && (total === null || total > count) && <Button kind="quiet" onClick={onAll}>{total === null ? t("selectAllUncounted") : t("selectAll", { count: total })}</Button>}
      <Button kind="quiet" icon="close" onClick={onNone}>{t("unselect")}</Button>
      <span class="queue-bulk-actions">
        {ACTIONS.map(([action, icon]) => <Button key={action} icon={icon} kind={action === "delete" ? "danger" : "plain"} onClick={() => onAct(action)}>{t(action)}</Button>)}
      </span>
    </div>
  );
}
