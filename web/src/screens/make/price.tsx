/** The price before the job, and what is wrong with its input, from the same request. */
import { useQuery } from "@tanstack/react-query";
import { useEffect, useMemo, useState } from "preact/hooks";
import { Problem, type Schema, send } from "~/api/http";
import { number, useMessages } from "~/app/i18n";
import type { FormValues } from "~/parts/schema-form";
import { submission } from "./draft";
import { messages } from "./messages";

const SETTLED_MS = 350;

/** Return a value once it has not changed for a moment. */
function useSettled<T>(value: T): T {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), SETTLED_MS);
    return () => clearTimeout(timer);
  }, [value]);
  return settled;
}

export interface Price {
  cost: number | null;
  isCharged: boolean;
  /** The credits there are, where they do not suffice. */
  tooFew: number | null;
  errors: Record<string, string>;
  problem: Problem | null;
}

/** Ask what a job costs, without making it. */
export function usePrice(of: string, values: FormValues): Price {
  const { path, body } = submission(of, values);
  const text = JSON.stringify(body);
  const settled = useSettled(useMemo(() => ({ path, body: text }), [path, text]));
  const found = useQuery({
    queryKey: ["price", settled.path, settled.body],
    queryFn: ({ signal }) => send<Schema<"Estimate">>("POST", `${settled.path}?whatif=true`, settled.body, signal),
    retry: false,
    staleTime: 60_000,
    placeholderData: (before) => before,
  });
  const problem = found.error instanceof Problem && settled.body === text ? found.error : null;
  const estimate = found.error ? undefined : found.data;
  return {
    cost: estimate?.cost ?? null,
    isCharged: estimate?.charged ?? false,
    tooFew: estimate?.affordable === false ? (estimate.available ?? 0) : null,
    errors: Object.fromEntries(Object.entries(problem?.errors ?? {}).map(([path, texts]) => [fieldOf(path), texts.join("; ")])),
    problem,
  };
}

/** Return the field of a form that a path of the API names: `input.networks[0].air` is `networks`. */
function fieldOf(path: string): string {
  return path.replace(/^input\./, "").replace(/^values\./, "").split(/[.[]/)[0] ?? path;
}

export function PriceLine({ price, count }: { price: Price; count: number }) {
  const t = useMessages(messages);
  if (price.cost === null) return <span class="make-price" />;
  if (price.tooFew !== null) return <span class="make-price make-short">{t("short", { available: number(price.tooFew) })}</span>;
  if (!price.cost) return <span class="make-price">{t("free")}</span>;
  return <span class="make-price">{t("price", { count: Math.round(price.cost * count * 100) / 100 })}</span>;
}
