/** Filters in words as the API takes them: in the query of a list, and in the body of an operation. */
import type { Schema } from "~/api/http";
import { ownerQuery } from "~/app/session";
import { type ParsedWords, parseWords } from "./filter-words";

export type JobFilter = Partial<Schema<"JobFilter">>;
export type JobQuery = JobFilter & { owner?: string };

const LISTS = ["id", "status", "recipe", "model", "node", "error", "label", "batch"] as const;

/** Return the filter of the API for a filter in words; `owner` is apart, as it is no part of the filter. */
export function jobFilter(text: string): JobFilter {
  const { words, text: rest } = parseWords(text);
  const filter: JobFilter = {};
  for (const name of LISTS) if (words[name]) filter[name] = words[name];
  const [[older], [newer], [character], [book], [replayed]] = [words.older ?? [], words.newer ?? [], words.character ?? [], words.book ?? [], words.replayed ?? []];
  if (older) filter.olderThan = older;
  if (newer) filter.newerThan = newer;
  if (character) filter.character = character;
  if (book) filter.book = book;
  if (replayed) filter.replayed = replayed !== "false";
  if (rest) filter.text = rest;
  return filter;
}

/** Return the filter as pairs of a query or of the options of a command. */
export function pairsOf(filter: JobQuery): [string, string][] {
  return Object.entries(filter).flatMap(([name, value]) => (Array.isArray(value) ? value : [value]).map((each): [string, string] => [name, String(each)]));
}

/** Return the owner that the filter names, else the one that is shown. */
export function ownerOf({ words }: ParsedWords): { owner?: string } {
  const [named] = words.owner ?? [];
  return named ? { owner: named } : ownerQuery();
}

/** Return the query of the API for a filter in words. */
export function jobQuery(text: string): JobQuery {
  return { ...jobFilter(text), ...ownerOf(parseWords(text)) };
}
