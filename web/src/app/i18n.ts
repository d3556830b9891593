/** Languages: typed messages, plural forms, and dates and numbers as the reader writes them. */
import { useSyncExternalStore } from "preact/compat";

export const LANGUAGES = { en: "English", pt: "Português", es: "Español", uk: "Українська" } as const;
export type Language = keyof typeof LANGUAGES;

/** Forms of a message by `Intl.PluralRules` of the value `count`. */
export type Plural = { one?: string; few?: string; many?: string; other: string };
type Message = string | Plural;
type Table = Record<string, Message>;
/** The messages of a screen. Every language has the keys of English; the compiler checks it. */
export type Messages<T extends Table> = Record<Language, { [K in keyof T]: Message }>;
export type Values = Record<string, string | number>;
export type Translate<T extends Table> = (key: keyof T & string, values?: Values) => string;

const STORED = "imagemill.language";
const listeners = new Set<() => void>();
let current = initial();

function initial(): Language {
  let stored: string | null = null;
  try {
    stored = localStorage.getItem(STORED);
  } catch {
    // Storage may be switched off; the browser's languages decide then.
  }
  const wanted = [stored ?? "", ...navigator.languages].map((each) => each.slice(0, 2).toLowerCase());
  const found = wanted.find((each): each is Language => each in LANGUAGES) ?? "en";
  document.documentElement.lang = found;
  return found;
}

/** Return the language of the page, and follow its changes. */
export function useLanguage(): Language {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => current,
  );
}

export function setLanguage(language: Language): void {
  current = language;
  document.documentElement.lang = language;
  try {
    localStorage.setItem(STORED, language);
  } catch {
    // It holds until the page is closed.
  }
  for (const listener of listeners) listener();
}

/** Declare the messages of a folder. */
export function defineMessages<const T extends Table>(tables: { en: T } & Messages<T>): Messages<T> {
  return tables;
}

/** Return the function that translates a key: `t("jobs", { count: 3 })`. */
export function useMessages<T extends Table>(messages: Messages<T>): Translate<T> {
  const language = useLanguage();
  return (key, values) => translate(messages, language, key, values);
}

/** Translate outside of a component. */
export function say<T extends Table>(messages: Messages<T>, key: keyof T & string, values?: Values): string {
  return translate(messages, current, key, values);
}

function translate<T extends Table>(messages: Messages<T>, language: Language, key: keyof T & string, values: Values = {}): string {
  const message = messages[language][key] as Message;
  const text = typeof message === "string" ? message : plural(message, language, Number(values.count ?? 0));
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => {
    const value = values[name];
    return value === undefined ? whole : typeof value === "number" ? number(value) : value;
  });
}

function plural(message: Plural, language: Language, count: number): string {
  const rule = kept(`plural ${language}`, () => new Intl.PluralRules(language)).select(count);
  return (rule in message ? message[rule as keyof Plural] : undefined) ?? message.other;
}

// Dates and numbers

const formats = new Map<string, unknown>();

/** Return the object made before under this name: to make a format takes a hundred times as long as to use it. */
function kept<Format>(name: string, make: () => Format): Format {
  const format = (formats.get(name) as Format | undefined) ?? make();
  formats.set(name, format);
  return format;
}

export function number(value: number, options?: Intl.NumberFormatOptions): string {
  const name = `number ${current} ${options ? JSON.stringify(options) : ""}`;
  return kept(name, () => new Intl.NumberFormat(current, options)).format(value);
}

/** Return bytes for people: 1.2 MB. */
export function bytes(value: number): string {
  const units = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"];
  const power = Math.min(units.length - 1, value < 1 ? 0 : Math.floor(Math.log10(value) / 3));
  const unit = units[power] ?? "byte";
  return number(value / 1000 ** power, { style: "unit", unit, unitDisplay: "short", maximumFractionDigits: 1 });
}

/** Return a time as date and time of day. */
export function moment(value: string | number | Date): string {
  const format = kept(`moment ${current}`, () => new Intl.DateTimeFormat(current, { dateStyle: "medium", timeStyle: "medium" }));
  return format.format(new Date(value));
}

/** Return the time of day, with the date where a span of more than a day is shown. */
export function clock(value: string | number | Date, withDate = false): string {
  return new Intl.DateTimeFormat(current, { ...(withDate ? { day: "numeric", month: "short" } : {}), hour: "2-digit", minute: "2-digit" }).format(new Date(value));
}

/** Return a length of time: 350 ms, 2.4 s, 3 min, 5 h. */
export function duration(seconds: number): string {
  const unit = (amount: number, name: string, digits = 0) =>
    number(amount, { style: "unit", unit: name, unitDisplay: "short", maximumFractionDigits: digits });
  if (seconds < 1) return unit(Math.round(seconds * 1000), "millisecond");
  if (seconds < 60) return unit(seconds, "second", 1);
  if (seconds < 3600) return unit(seconds / 60, "minute", seconds < 600 ? 1 : 0);
  if (seconds < 172_800) return unit(seconds / 3600, "hour", 1);
  return unit(seconds / 86_400, "day");
}

/** Return how long ago a time was, in words: "3 minutes ago". */
export function ago(value: string | number | Date, now = Date.now()): string {
  const seconds = (new Date(value).getTime() - now) / 1000;
  const words = kept(`ago ${current}`, () => new Intl.RelativeTimeFormat(current, { numeric: "auto" }));
  const size = Math.abs(seconds);
  if (size < 60) return words.format(Math.round(seconds), "second");
  if (size < 3600) return words.format(Math.round(seconds / 60), "minute");
  if (size < 86_400) return words.format(Math.round(seconds / 3600), "hour");
  return words.format(Math.round(seconds / 86_400), "day");
}
