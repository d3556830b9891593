/** A long list of which only the visible rows exist; it loads further pages as the reader scrolls. */
import { useVirtualizer } from "@tanstack/react-virtual";
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";

interface VirtualListProps<Item> {
  label: string;
  items: readonly Item[];
  keyOf: (item: Item) => string;
  /** The height of a row in pixels; all rows have it. */
  rowHeight: number;
  children: (item: Item, index: number) => ComponentChildren;
  /** Called when the end is near; omit it when there is no more. */
  onEnd?: () => void;
  /** The row that keyboard control keeps in sight. */
  active?: number;
  /** The key of that row; the list scrolls when it changes, not when further rows move the row. */
  activeKey?: string;
  /** Called with whether the first rows are shown, when that changes. */
  onStart?: (isAtStart: boolean) => void;
}

interface Kept<Item> {
  item: Item;
  index: number;
  content: ComponentChildren;
}

export function VirtualList<Item>({ label, items, keyOf, rowHeight, children, onEnd, active, activeKey, onStart }: VirtualListProps<Item>) {
  const box = useRef<HTMLDivElement>(null);
  // While the reader scrolls, a row that stays is not rendered again: the same element is given to Preact.
  const kept = useRef<{ by: unknown; rows: Map<string, Kept<Item>> }>({ by: null, rows: new Map() });
  const rows = useVirtualizer({
    count: items.length,
    getScrollElement: () => box.current,
    estimateSize: () => rowHeight,
    overscan: 12,
    getItemKey: (index) => {
      const item = items[index];
      return item === undefined ? index : keyOf(item);
    },
  });
  const shown = rows.getVirtualItems();
  const last = shown[shown.length - 1]?.index ?? -1;
  const before = kept.current.by === children ? kept.current.rows : new Map<string, Kept<Item>>();
  const now = new Map<string, Kept<Item>>();
  kept.current = { by: children, rows: now };
  const contentOf = (item: Item, index: number): ComponentChildren => {
    const key = keyOf(item);
    const known = before.get(key);
    const row = known?.item === item && known.index === index ? known : { item, index, content: children(item, index) };
    now.set(key, row);
    return row.content;
  };
  const isAtStart = (shown[0]?.index ?? 0) === 0;
  useEffect(() => onStart?.(isAtStart), [isAtStart]);
  useEffect(() => {
    if (onEnd && last >= items.length - 30) onEnd();
  }, [last, items.length, onEnd]);
  useEffect(() => {
    if (active !== undefined && active >= 0) rows.scrollToIndex(active);
  }, [activeKey ?? active]);
  return (
    <div class="virtual" ref={box} role="list" aria-label={label} tabIndex={0}>
      <div class="virtual-space" style={{ height: `${rows.getTotalSize()}px` }}>
        {shown.map((row) => {
          const item = items[row.index];
          if (item === undefined) return null;
          return (
            <div key={row.key} class="virtual-row" role="listitem" aria-setsize={items.length} aria-posinset={row.index + 1} style={{ height: `${rowHeight}px`, transform: `translateY(${row.start}px)` }}>
              {contentOf(item, row.index)}
            </div>
          );
        })}
      </div>
    </div>
  );
}
