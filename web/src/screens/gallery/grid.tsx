/** The pictures in rows, of which only the visible ones exist; one tab stop, moved through by arrows. */
import { useVirtualizer } from "@tanstack/react-virtual";
import { memo } from "preact/compat";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { useMessages } from "~/app/i18n";
import { Icon } from "~/parts/icon";
import { type Shown, thumbnailOf } from "./artifacts";
import { messages } from "./messages";

export type Size = "small" | "medium" | "large";
const TILE_PX: Record<Size, number> = { small: 110, medium: 180, large: 300 };
const WIDTHS: Record<Size, 128 | 256 | 512> = { small: 128, medium: 256, large: 512 };
const GAP_PX = 6;
const AHEAD = 4;

export interface GridKeys {
  open: (index: number) => void;
  select: (index: number, isRange: boolean) => void;
  rate: (index: number, rating: number) => void;
  remove: (index: number) => void;
  selectAll: () => void;
  leave: () => void;
}

interface GridProps {
  items: readonly Shown[];
  size: Size;
  active: number;
  selected: ReadonlySet<string>;
  isSelecting: boolean;
  onActive: (index: number) => void;
  onEnd: () => void;
  /** Changes when another page was read, also an empty one. */
  pages: string;
  keys: GridKeys;
}

export function Grid({ items, size, active, selected, isSelecting, onActive, onEnd, pages, keys }: GridProps) {
  const t = useMessages(messages);
  const box = useRef<HTMLDivElement>(null);
  const width = useWidth(box);
  const columns = Math.max(width < 500 ? 3 : 2, Math.floor((width + GAP_PX) / (TILE_PX[size] + GAP_PX)));
  const tile = Math.max(40, (width - GAP_PX * (columns - 1)) / columns);
  const rows = useVirtualizer({
    count: Math.ceil(items.length / columns),
    getScrollElement: () => box.current,
    estimateSize: () => tile + GAP_PX,
    overscan: AHEAD,
  });
  useEffect(() => rows.measure(), [tile]);
  const shown = rows.getVirtualItems();
  const last = (shown[shown.length - 1]?.index ?? 0) * columns;
  useEffect(() => {
    if (last >= items.length - columns * 12) onEnd();
  }, [last, items.length, pages, columns]);
  useEffect(() => {
    if (active >= 0) rows.scrollToIndex(Math.floor(active / columns));
  }, [active, columns]);
  const onKey = (event: KeyboardEvent) => {
    const at = Math.max(0, active);
    const perPage = columns * Math.max(1, Math.floor((box.current?.clientHeight ?? 0) / (tile + GAP_PX)));
    const moves: Record<string, number> = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, PageUp: -perPage, PageDown: perPage, Home: -items.length, End: items.length };
    const move = moves[event.key];
    if (move !== undefined) {
      if (active < 0) onActive(0);
      else onActive(Math.max(0, Math.min(items.length - 1, active + move)));
    } else if (event.key === "Enter") keys.open(at);
    else if (event.key === " ") keys.select(at, event.shiftKey);
    else if (event.key === "Escape") keys.leave();
    else if (event.key === "Delete") keys.remove(at);
    else if (event.key === "a" && (event.ctrlKey || event.metaKey)) keys.selectAll();
    else if (/^[0-5]$/.test(event.key) && !event.ctrlKey && !event.altKey && !event.metaKey) keys.rate(at, Number(event.key));
    else return;
    event.preventDefault();
  };
  const current = items[active];
  return (
    <div class="gallery-grid" ref={box} role="listbox" aria-multiselectable="true" aria-label={t("pictures")} tabIndex={0} onKeyDown={onKey}
      aria-activedescendant={current ? `gallery-${current.id}` : undefined}>
      <div class="gallery-space" role="presentation" style={{ height: `${rows.getTotalSize()}px` }}>
        {width > 0 && shown.map((row) => (
          <div key={row.key} class="gallery-row" role="presentation" style={{ transform: `translateY(${row.start}px)`, height: `${tile}px`, gridTemplateColumns: `repeat(${columns}, 1fr)` }}>
            {items.slice(row.index * columns, (row.index + 1) * columns).map((item, column) => {
              const index = row.index * columns + column;
              return <Tile key={item.id} item={item} index={index} count={items.length} width={WIDTHS[size]} isActive={index === active} isSelected={selected.has(item.id)} isSelecting={isSelecting} keys={keys} />;
            })}
          </div>
        ))}
      </div>
    </div>
  );
}

interface TileProps {
  item: Shown;
  index: number;
  count: number;
  width: 128 | 256 | 512;
  isActive: boolean;
  isSelected: boolean;
  isSelecting: boolean;
  keys: GridKeys;
}

const Tile = memo(function Tile({ item, index, count, width, isActive, isSelected, isSelecting, keys }: TileProps) {
  const name = item.prompt || item.recipe;
  const press = (event: MouseEvent) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || isSelecting) keys.select(index, event.shiftKey);
    else keys.open(index);
  };
  return (
    <div id={`gallery-${item.id}`} class={`gallery-tile${isActive ? " gallery-active" : ""}`} role="option" aria-selected={isSelected} aria-setsize={count} aria-posinset={index + 1} onClick={press}>
      {item.available && item.mediaType.startsWith("image/")
        ? <img src={thumbnailOf(item.id, width)} alt={name} decoding="async" draggable={false} />
        : <span class="gallery-file"><Icon name={item.available ? "play" : "delete"} size={24} />{name}</span>}
      <span class="gallery-tick" aria-hidden="true" onClick={(event) => { event.stopPropagation(); keys.select(index, event.shiftKey); }}><Icon name="check" size={14} /></span>
      {item.rating > 0 && <span class="gallery-stars" aria-hidden="true"><Icon name="star" size={12} />{item.rating}</span>}
    </div>
  );
});

function useWidth(box: { current: HTMLElement | null }): number {
  const [width, setWidth] = useState(0);
  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    const observer = new ResizeObserver(() => setWidth(element.clientWidth - 2 * GAP_PX));
    observer.observe(element);
    setWidth(element.clientWidth - 2 * GAP_PX);
    return () => observer.disconnect();
  }, []);
  return width;
}
