/** Rows under heads of their submission, character or book. */
import type { JobRow } from "./jobs";

export type Grouping = "" | "batch" | "character" | "book";
export type Entry = { kind: "job"; key: string; row: JobRow } | { kind: "head"; key: string; label: string; ids: string[] };

const SHORT = 13;

/** Return the entries of the list; groups stand in the order of their newest job. */
export function grouped(rows: readonly JobRow[], by: Grouping, others: string): Entry[] {
  if (!by) return rows.map((row) => ({ kind: "job", key: row.id, row }));
  const groups = new Map<string, JobRow[]>();
  for (const row of rows) groups.set(row[by], [...(groups.get(row[by]) ?? []), row]);
  return [...groups].flatMap(([name, members]): Entry[] => [
    { kind: "head", key: `head-${name}`, label: name ? (by === "batch" ? name.slice(0, SHORT) : name) : others, ids: members.map((row) => row.id) },
    ...members.map((row): Entry => ({ kind: "job", key: row.id, row })),
  ]);
}
