/** Places for the nodes of a graph: columns by the longest way from a source, rows in the order of the columns before. */
import type { Schema } from "~/api/http";

type Graph = Schema<"JobGraph">;

const COLUMN_PX = 250;
const ROW_PX = 96;

export function placesOf(graph: Graph): Map<string, { x: number; y: number }> {
  const column = new Map(graph.nodes.map((node) => [node.id, 0]));
  for (let pass = 0; pass < graph.nodes.length; pass++) {
    let isSettled = true;
    for (const { source, target } of graph.links) {
      const after = (column.get(source) ?? 0) + 1;
      if (after > (column.get(target) ?? 0) && after <= graph.nodes.length) {
        column.set(target, after);
        isSettled = false;
      }
    }
    if (isSettled) break;
  }
  const rows = new Map<string, number>();
  const used = new Map<number, number>();
  const ordered = [...graph.nodes].sort((one, other) => (column.get(one.id) ?? 0) - (column.get(other.id) ?? 0));
  for (const { id } of ordered) {
    const at = column.get(id) ?? 0;
    const sources = graph.links.filter((link) => link.target === id).map((link) => rows.get(link.source) ?? 0);
    const wished = sources.length ? Math.floor(sources.reduce((sum, row) => sum + row, 0) / sources.length) : 0;
    const row = Math.max(wished, used.get(at) ?? 0);
    rows.set(id, row);
    used.set(at, row + 1);
  }
  return new Map(ordered.map(({ id }) => [id, { x: (column.get(id) ?? 0) * COLUMN_PX, y: (rows.get(id) ?? 0) * ROW_PX }]));
}
