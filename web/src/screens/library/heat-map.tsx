/** The heat map: a row for each gender, age and body, a column for each pose and style. */
import { useRef, useState } from "preact/hooks";
import { useMessages } from "~/app/i18n";
import { localUrl } from "~/parts/product-owner";
import { nameOf } from ".";
import { type Cell, VALUES } from "./cells";
import { messages } from "./messages";

interface HeatMapProps {
  cells: Cell[];
  hasPictures: boolean;
  onOpen: (template: string) => void;
}

export function HeatMap({ cells, hasPictures, onOpen }: HeatMapProps) {
  const t = useMessages(messages);
  const table = useRef<HTMLTableElement>(null);
  const [active, setActive] = useState("");
  const rows = rowsOf(cells);
  const first = rows[0] ?? [];
  const poses = VALUES.pose.filter((pose) => first.some((cell) => cell.pose === pose));
  const styles = first.filter((cell) => cell.pose === poses[0]);
  const current = cells.some((cell) => cell.templateId === active) ? active : (first[0]?.templateId ?? "");
  const move = (event: KeyboardEvent) => {
    const row = rows.findIndex((each) => each.some((cell) => cell.templateId === current));
    const column = rows[row]?.findIndex((cell) => cell.templateId === current) ?? 0;
    const steps: Record<string, [number, number]> = { ArrowDown: [1, 0], ArrowUp: [-1, 0], ArrowRight: [0, 1], ArrowLeft: [0, -1] };
    const step = steps[event.key];
    const next = step && rows[row + step[0]]?.[column + step[1]];
    if (!step) return;
    event.preventDefault();
    if (!next) return;
    setActive(next.templateId);
    table.current?.querySelector<HTMLElement>(`[data-cell="${CSS.escape(next.templateId)}"]`)?.focus();
  };
  return (
    <div class="library-scroll">
      <table class={`library-map${hasPictures ? " library-pictures" : ""}`} ref={table} role="grid" aria-label={t("heading")} onKeyDown={move}>
        <thead>
          <tr>
            <td rowSpan={2} />
            {poses.map((pose) => <th key={pose} scope="colgroup" colSpan={styles.length}>{nameOf(t, pose)}</th>)}
          </tr>
          <tr>{poses.flatMap((pose) => styles.map(({ style }) => <th key={`${pose} ${style}`} scope="col" class="library-style">{nameOf(t, style)}</th>))}</tr>
        </thead>
        <tbody>
          {rows.map((row) => row[0] && (
            <tr key={row[0].templateId}>
              <th scope="row">{[row[0].gender, row[0].ageRange, row[0].bodyType].map((value) => nameOf(t, value)).join(" · ")}</th>
              {row.map((cell, index) => (
                <td key={cell.templateId} role="gridcell" class={index > 0 && index % styles.length === 0 ? "library-next-pose" : undefined}>
                  <Square cell={cell} hasPicture={hasPictures} isActive={cell.templateId === current} onOpen={onOpen} onFocus={setActive} />
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function rowsOf(cells: Cell[]): Cell[][] {
  const rows = new Map<string, Cell[]>();
  for (const cell of cells) {
    const name = `${cell.gender} ${cell.ageRange} ${cell.bodyType}`;
    rows.set(name, [...(rows.get(name) ?? []), cell]);
  }
  return [...rows.values()];
}

interface SquareProps {
  cell: Cell;
  hasPicture: boolean;
  isActive: boolean;
  onOpen: (template: string) => void;
  onFocus: (template: string) => void;
}

function Square({ cell, hasPicture, isActive, onOpen, onFocus }: SquareProps) {
  const t = useMessages(messages);
  const state = cell.state === "present" ? t("present", { version: cell.version }) : t(cell.state === "under_way" ? "stateUnderWay" : "stateMissing");
  const look = cell.state === "present" ? `library-v${Math.min(cell.version, 3)}` : cell.state === "under_way" ? "library-busy" : "library-missing";
  const name = [cell.gender, cell.ageRange, cell.bodyType, cell.pose, cell.style].map((value) => nameOf(t, value)).join(", ");
  return (
    <button type="button" class={`library-cell ${look}`} data-cell={cell.templateId} tabIndex={isActive ? 0 : -1} aria-label={`${name}: ${state}`} title={`${name}: ${state}`}
      onFocus={() => onFocus(cell.templateId)} onClick={() => onOpen(cell.templateId)}>
      {hasPicture && cell.thumbnailUrl ? <img src={localUrl(cell.thumbnailUrl)} alt="" loading="lazy" decoding="async" /> : cell.version > 0 && cell.version}
    </button>
  );
}
