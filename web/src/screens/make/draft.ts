/** What the form of this screen holds, and the jobs that it makes. */
import { type Schema, api, data, send } from "~/api/http";
import { queries } from "~/api/queries";
import { ownerQuery, useSession } from "~/app/session";
import { useDraft } from "~/app/state";
import type { FormValues } from "~/parts/schema-form";

export type Job = Schema<"JobBody">;
export const TEXT_TO_IMAGE = "textToImage";
export const WORKFLOW = "workflow:";
/** Fields whose value follows from the model where a request has none. */
const BY_MODEL = ["width", "height", "steps", "cfg_scale"];
/** Fields of a job's input that the server sets; they are left out when its form is filled again. */
const SET_BY_SERVER = ["model_path", "upscaler_path", "family", "variant", "graph", "definition", "pictures", "checkpoint", "version"];

/** An axis of a batch grid: a field and the values that it takes, a line each. */
export interface Axis {
  field: string;
  lines: string;
}

export interface Draft {
  /** A recipe, or `workflow:NAME`. */
  of: string;
  /** The values by what they are for, so that changing it loses nothing. */
  inputs: Record<string, FormValues>;
  axes: Axis[];
  /** The job that the form was filled from. */
  from?: { id: string; input: FormValues };
}

export const INITIAL: Draft = {
  of: TEXT_TO_IMAGE,
  inputs: { [TEXT_TO_IMAGE]: { prompt: "a lighthouse on a cliff at dawn, thin fog, soft light" } },
  axes: [],
};

export function useMakeDraft(): [Draft, (draft: Draft) => void] {
  const { me } = useSession();
  const [draft, setDraft] = useDraft<Draft>(`make.${me?.owner ?? ""}`, INITIAL);
  return [draft, setDraft];
}

export function valuesOf(draft: Draft): FormValues {
  return draft.inputs[draft.of] ?? {};
}

export function withValues(draft: Draft, values: FormValues): Draft {
  return { ...draft, inputs: { ...draft.inputs, [draft.of]: values } };
}

/** The request that makes a job. */
export interface Submission {
  path: string;
  body: Record<string, unknown>;
}

/** Return the request of these values: workflows have a route each. */
export function submission(of: string, values: FormValues): Submission {
  if (of.startsWith(WORKFLOW)) return { path: `/api/v1/workflows/${encodeURIComponent(of.slice(WORKFLOW.length))}`, body: values };
  return { path: "/api/v1/jobs", body: { recipe: of, input: values } };
}

/** Return the lines of an axis as values: numbers where they are numbers, `W x H` for the size. */
function parsed(axis: Axis): FormValues[] {
  const lines = axis.lines.split("\n").map((line) => line.trim()).filter(Boolean);
  return lines.flatMap((line): FormValues[] => {
    if (axis.field === "size") {
      const [width, height] = line.split(/\s*[x×*]\s*/).map(Number);
      return width && height ? [{ width, height }] : [];
    }
    return [{ [axis.field]: /^-?\d+(\.\d+)?$/.test(line) ? Number(line) : line }];
  });
}

export interface Combination {
  values: FormValues;
  /** What is different in it, for its caption. */
  differs: string;
}

/** Return the values of each job: the product of all axes. */
export function combinations(draft: Draft): Combination[] {
  let found: Combination[] = [{ values: valuesOf(draft), differs: "" }];
  for (const axis of draft.axes) {
    const options = parsed(axis);
    if (!options.length) continue;
    found = found.flatMap((each) =>
      options.map((option) => {
        const text = axis.field === "size" ? `${option.width} × ${option.height}` : String(option[axis.field]);
        return { values: { ...each.values, ...option }, differs: each.differs ? `${each.differs} · ${text}` : text };
      }),
    );
  }
  return found;
}

/** What a stored input leaves out: the values that equal the recipe's defaults. A new job may have others, by its model. */
async function omitted(of: string): Promise<FormValues> {
  if (of !== TEXT_TO_IMAGE) return {};
  const recipe = await queries.fetchQuery({
    queryKey: ["recipe", of],
    queryFn: () => data(api.GET("/api/v1/recipes/{name}", { params: { path: { name: of } } })),
    staleTime: Infinity,
  });
  const properties = (recipe.input as { properties?: Record<string, { default?: unknown }> }).properties ?? {};
  return Object.fromEntries(BY_MODEL.map((name) => [name, properties[name]?.default]));
}

/** Return the draft that a job's own form has. */
export async function draftOf(job: Job, draft: Draft): Promise<Draft> {
  const input: FormValues = { ...(await omitted(job.recipe)), ...job.input };
  const isWorkflow = job.recipe === "workflow";
  const of = isWorkflow ? `${WORKFLOW}${String(input.name)}` : job.recipe;
  const given = isWorkflow ? { ...(input.values as FormValues) } : { ...input };
  for (const name of SET_BY_SERVER) delete given[name];
  for (const [name, value] of Object.entries(given)) if (value === null || (Array.isArray(value) && !value.length)) delete given[name];
  return { of, inputs: { ...draft.inputs, [of]: given }, axes: [], from: { id: job.id, input: given } };
}

/** Return the fields that differ from the job that the form was filled from. */
export function changedFields(draft: Draft): ReadonlySet<string> {
  const before = draft.from?.input;
  if (!before) return new Set();
  const now = valuesOf(draft);
  return new Set([...Object.keys(before), ...Object.keys(now)].filter((name) => JSON.stringify(before[name]) !== JSON.stringify(now[name])));
}

/** Submit one job. */
export function submit(of: string, values: FormValues): Promise<Job> {
  // Not randomUUID, which pages that are not served by HTTPS lack.
  const key = [...crypto.getRandomValues(new Uint32Array(4))].join("-");
  const { path, body } = submission(of, values);
  return send<Job>("POST", path, JSON.stringify(body), undefined, { "Idempotency-Key": key });
}

export function readJob(id: string, signal?: AbortSignal): Promise<Job> {
  return data(api.GET("/api/v1/jobs/{job_id}", { params: { path: { job_id: id }, query: ownerQuery() }, signal }));
}

/** Return a seed for the dice. */
export function randomSeed(): number {
  return Math.floor(Math.random() * 2 ** 32);
}
