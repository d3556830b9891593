/**
 * Filters in words, as they are typed and stand in the URL: `status:failed model:flux* "a red fox"`.
 *
 * `key:value` narrows; several values of one key are alternatives, also `status:failed,expired`. All else is text.
 */

/** The words that the screens know, and the parameters of the API that they mean. */
export const WORDS = {
  id: "id",
  status: "status",
  owner: "owner",
  recipe: "recipe",
  model: "model",
  node: "node",
  error: "error",
  label: "label",
  batch: "batch",
  character: "character",
  book: "book",
  older: "olderThan",
  newer: "newerThan",
  replayed: "replayed",
  rating: "rating",
  type: "type",
  job: "job",
} as const;

export type Word = keyof typeof WORDS;

export interface ParsedWords {
  words: Partial<Record<Word, string[]>>;
  /** What is not a word: it is looked for in prompts. */
  text: string;
}

const TOKEN = /(?:([A-Za-z]+):)?(?:"([^"]*)"?|(\S+))/g;

function isWord(name: string): name is Word {
  return Object.hasOwn(WORDS, name);
}

export function parseWords(text: string): ParsedWords {
  const words: ParsedWords["words"] = {};
  const rest: string[] = [];
  for (const [whole, key = "", quoted, plain = ""] of text.matchAll(TOKEN)) {
    const name = key.toLowerCase();
    if (!isWord(name)) {
      rest.push(key ? whole : (quoted ?? plain));
      continue;
    }
    const values = quoted !== undefined ? [quoted] : plain.split(",");
    const found = values.map((value) => value.trim()).filter(Boolean);
    if (found.length) words[name] = [...new Set([...(words[name] ?? []), ...found])];
  }
  return { words, text: rest.join(" ").trim() };
}

/** Return the text of a filter: parsed again it is the same. */
export function writeWords({ words, text }: ParsedWords): string {
  const written = Object.entries(words).flatMap(([name, values]) => {
    const plain = values.filter((value) => !/[\s,"]/.test(value));
    const quoted = values.filter((value) => /[\s,]/.test(value));
    return [...(plain.length ? [`${name}:${plain.join(",")}`] : []), ...quoted.map((value) => `${name}:"${value}"`)];
  });
  return [...written, ...(text ? [text] : [])].join(" ");
}

/** Return the filter with this word's values; none removes it. */
export function withWord(text: string, word: Word, ...values: string[]): string {
  const { words, text: rest } = parseWords(text);
  const kept = Object.fromEntries(Object.entries(words).filter(([name]) => name !== word)) as ParsedWords["words"];
  return writeWords({ words: values.length ? { ...kept, [word]: values } : kept, text: rest });
}

export interface Suggestion {
  /** The whole filter, with what is suggested in place of the last word. */
  text: string;
  label: string;
}

const MOST = 8;

/** Return what may follow: names of words, and after a colon its values. */
export function suggest(text: string, known: Partial<Record<Word, readonly string[]>>): Suggestion[] {
  const start = text.lastIndexOf(" ") + 1;
  const [before, last] = [text.slice(0, start), text.slice(start)];
  const colon = last.indexOf(":");
  if (colon < 0) {
    const names = (Object.keys(known) as Word[]).filter((name) => name.startsWith(last.toLowerCase()));
    return names.slice(0, MOST).map((name) => ({ text: `${before}${name}:`, label: `${name}:` }));
  }
  const name = last.slice(0, colon).toLowerCase();
  if (!isWord(name)) return [];
  const given = last.slice(colon + 1);
  const comma = given.lastIndexOf(",") + 1;
  const part = given.slice(comma).replace(/^"/, "").toLowerCase();
  const fits = (known[name] ?? []).filter((value) => value.toLowerCase().includes(part) && value.toLowerCase() !== part);
  return fits.slice(0, MOST).map((value) => {
    const written = /[\s,]/.test(value) ? `"${value}"` : value;
    return { text: `${before}${name}:${given.slice(0, comma)}${written} `, label: value };
  });
}
