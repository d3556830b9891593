/** Make: a prompt or any workflow's inputs become pictures. */
import { useQuery } from "@tanstack/react-query";
import { Suspense, lazy } from "preact/compat";
import { useEffect, useMemo, useState } from "preact/hooks";
import { Link, useLocation } from "wouter-preact";
import { api, data } from "~/api/http";
import { queries } from "~/api/queries";
import { useMessages } from "~/app/i18n";
import { messages as names } from "~/app/messages";
import { may, useSession } from "~/app/session";
import { useDraft, usePreference, useUrlState } from "~/app/state";
import { toast } from "~/app/toasts";
import { Button } from "~/parts/button";
import { Checklist, useChecklist } from "~/parts/checklist";
import { CopyAs } from "~/parts/copy-as";
import { Dialog } from "~/parts/dialog";
import { Select } from "~/parts/field";
import { Empty, Notice, Page, ProblemNotice } from "~/parts/page";
import { rememberPicture } from "~/parts/picture-field";
import { type FormValues, SchemaForm } from "~/parts/schema-form";
import { type JsonSchema, fieldsOf } from "~/parts/schema-form/schema";
import { BatchGrid } from "./batch-grid";
import { Compare } from "./compare";
import { type Draft, type Job, TEXT_TO_IMAGE, WORKFLOW, changedFields, combinations, draftOf, randomSeed, readJob, submission, submit, useMakeDraft, valuesOf, withValues } from "./draft";
import { useLiveProgress } from "./live-jobs";
import { messages } from "./messages";
import { PictureForm } from "./picture-form";
import { PriceLine, usePrice } from "./price";
import { type Artifact, type PictureAction, type Result, ResultCard } from "./result-card";
import "./style.css";

const GraphImport = lazy(() => import("~/parts/graph-import").then((part) => ({ default: part.GraphImport })));
const MOST_JOBS = 64;
const KEPT_RESULTS = 60;
const NOT_VARIED = ["networks", "controls", "references", "width", "height"];

export default function Make() {
  const t = useMessages(messages);
  const n = useMessages(names);
  const { me } = useSession();
  const [draft, setDraft] = useMakeDraft();
  const [results, setResults] = useDraft<Result[]>(`make.results.${me?.owner ?? ""}`, []);
  const [compared, setCompared] = useState<string[]>([]);
  const [problem, setProblem] = useState<unknown>(null);
  const [isBusy, setBusy] = useState(false);
  const ids = useMemo(() => results.map((result) => result.id), [results]);
  const live = useLiveProgress(ids);
  useFromJob(draft, setDraft, setProblem);
  useFirstVisit(results.length === 0);

  const send = async (of: string, jobs: { values: FormValues; differs: string }[]) => {
    setBusy(true);
    setProblem(null);
    const made: Result[] = [];
    try {
      for (const { values, differs } of jobs) {
        const job = await submit(of, values);
        // As old, so that it is read again: the job may have ended before this answer was here.
        queries.setQueryData(["job", job.id], job, { updatedAt: 0 });
        made.push({ id: job.id, differs });
      }
      if (jobs.length > 1) toast({ text: t("submitted", { count: jobs.length }), tone: "good" });
    } catch (failure) {
      setProblem(failure);
    } finally {
      setResults([...made, ...results].slice(0, KEPT_RESULTS));
      setBusy(false);
    }
    // On a phone the results stand below the form.
    if (made.length && matchMedia("(max-width: 60rem)").matches) document.querySelector(".make-results")?.scrollIntoView({ block: "start" });
  };
  const act = async (action: PictureAction, job: Job, artifact?: Artifact) => {
    const again = await draftOf(job, draft);
    const source = artifact ? `blob:${artifact.id}` : "";
    if (artifact?.url) rememberPicture(source, artifact.url);
    const values = valuesOf(again);
    if (action === "again") void send(again.of, [{ values: { ...values, ...("seed" in values ? { seed: randomSeed() } : {}) }, differs: "" }]);
    else if (action === "vary") void send(TEXT_TO_IMAGE, [{ values: { ...pictureValues(values), image: source, denoise: 0.5, seed: randomSeed() }, differs: "" }]);
    else if (action === "upscale") void send("imageUpscaler", [{ values: { image: source }, differs: t("upscale") }]);
    else if (action === "asInput") setDraft(withValues({ ...draft, of: TEXT_TO_IMAGE }, { ...(draft.inputs[TEXT_TO_IMAGE] ?? {}), image: source }));
    else setDraft(again);
    if (action === "asInput" || action === "change") document.querySelector<HTMLElement>(".make-form textarea, .make-form input")?.focus();
  };
  const compare = (url: string) => setCompared(compared.includes(url) ? compared.filter((each) => each !== url) : [...compared.slice(-1), url]);
  const call = { method: "POST", ...submission(draft.of, valuesOf(draft)), cli: `imagemill make ${JSON.stringify(String(valuesOf(draft).prompt ?? ""))}` } as const;
  return (
    <Page title={n("make")} isFull actions={<><FromGraph /><CopyAs call={call} /></>}>
      <div class="make">
        <MakeForm draft={draft} setDraft={setDraft} problem={problem} isBusy={isBusy} onSend={(of, jobs) => void send(of, jobs)} />
        <section class="make-results" aria-label={t("results")}>
          {results.length === 0 ? (
            <>
              <Empty icon="make" title={t("noResults")}><p>{t("noResultsHint")}</p><Link href="/start">{n("start")}</Link></Empty>
              <Checklist />
            </>
          ) : (
            <>
              <div class="make-results-head">
                <h2>{t("results")}</h2>
                {compared.length === 1 && <span role="status">{t("compareTwo")}</span>}
                <Button kind="quiet" onClick={() => setResults([])}>{t("clear")}</Button>
              </div>
              <ul class="make-grid">
                {results.map((result) => (
                  <ResultCard key={result.id} result={result} live={live.get(result.id)} onAction={(...given) => void act(...given).catch(setProblem)} onCompare={compare}
                    isCompared={(url) => compared.includes(url)} onRemove={() => setResults(results.filter((each) => each.id !== result.id))} />
                ))}
              </ul>
            </>
          )}
        </section>
      </div>
      <Compare urls={compared} onClose={() => setCompared([])} />
    </Page>
  );
}

const PICTURE_FIELDS = ["model", "prompt", "negative_prompt", "width", "height", "steps", "cfg_scale", "networks"];

function pictureValues(values: FormValues): FormValues {
  return Object.fromEntries(Object.entries(values).filter(([name]) => PICTURE_FIELDS.includes(name)));
}

/** Fill the form from the job that the URL names, once: `?from=JOB`. */
function useFromJob(draft: Draft, setDraft: (draft: Draft) => void, onProblem: (problem: unknown) => void): void {
  const [from, setFrom] = useUrlState("from");
  useEffect(() => {
    if (!from) return;
    readJob(from).then((job) => draftOf(job, draft)).then(setDraft, onProblem).finally(() => setFrom(""));
  }, [from]);
}

/** Show the first steps once, to whoever comes to a server without having made a picture. */
function useFirstVisit(isEmpty: boolean): void {
  const [isSeen, setSeen] = usePreference("start.seen", false);
  const [path, navigate] = useLocation();
  const isWanted = !isSeen && isEmpty && path === "/";
  const steps = useChecklist(isWanted);
  useEffect(() => {
    if (!isWanted || !steps) return;
    setSeen(true);
    if (steps.some((step) => step.name === "picture" && !step.done)) navigate("/start", { replace: true });
  }, [steps, isWanted]);
}

interface MakeFormProps {
  draft: Draft;
  setDraft: (draft: Draft) => void;
  problem: unknown;
  isBusy: boolean;
  onSend: (of: string, jobs: { values: FormValues; differs: string }[]) => void;
}

function MakeForm({ draft, setDraft, problem, isBusy, onSend }: MakeFormProps) {
  const t = useMessages(messages);
  const values = valuesOf(draft);
  const price = usePrice(draft.of, combinations(draft)[0]?.values ?? values);
  const changed = changedFields(draft);
  const schema = useSchema(draft.of);
  const jobs = combinations(draft);
  const set = (next: FormValues) => setDraft(withValues(draft, next));
  const blocked = !may("jobs:write") ? "jobs:write" : jobs.length > MOST_JOBS ? t("tooMany", { count: jobs.length, most: MOST_JOBS }) : undefined;
  const onSubmit = () => {
    if (!blocked && !isBusy) onSend(draft.of, jobs);
  };
  const varied = schema ? fieldsOf(schema, NOT_VARIED).map((field) => ({ value: field.name, label: field.label })) : [];
  const fields = draft.of === TEXT_TO_IMAGE ? [{ value: "size", label: t("size") }, ...varied] : varied;
  return (
    <form class="make-form" onSubmit={(event) => {
      event.preventDefault();
      onSubmit();
    }}>
      <WhatToMake value={draft.of} onChange={(of) => setDraft({ ...draft, of, axes: [], from: undefined })} />
      {draft.from && <Notice actions={<Button kind="quiet" onClick={() => setDraft({ ...draft, from: undefined })}>{t("stopFrom")}</Button>}>{t("fromJob", { id: draft.from.id.slice(-8) })}</Notice>}
      {draft.of === TEXT_TO_IMAGE ? (
        <PictureForm values={values} onChange={set} onSubmit={onSubmit} errors={price.errors} changed={changed} />
      ) : (
        schema && <SchemaForm key={draft.of} schema={schema} values={values} onChange={set} errors={price.errors} changed={changed} />
      )}
      <BatchGrid axes={draft.axes} onChange={(axes) => setDraft({ ...draft, axes })} fields={fields} />
      {problem !== null && <ProblemNotice error={problem} />}
      {price.problem && !Object.keys(price.errors).length && <ProblemNotice error={price.problem} />}
      <div class="make-send">
        <Button type="submit" kind="primary" icon="make" blocked={blocked} isBusy={isBusy}>{jobs.length > 1 ? t("makeMany", { count: jobs.length }) : t("make")}</Button>
        <PriceLine price={price} count={jobs.length} />
      </div>
    </form>
  );
}

/** Return the schema of the inputs of a recipe or a workflow. */
function useSchema(of: string): JsonSchema | undefined {
  const isWorkflow = of.startsWith(WORKFLOW);
  const name = isWorkflow ? of.slice(WORKFLOW.length) : of;
  const found = useQuery<Record<string, unknown>>({
    queryKey: [isWorkflow ? "workflows" : "recipe", name, "schema"],
    queryFn: ({ signal }) =>
      isWorkflow
        ? data(api.GET("/api/v1/workflows/{name}", { params: { path: { name } }, signal })).then((workflow) => workflow.schema)
        : data(api.GET("/api/v1/recipes/{name}", { params: { path: { name } }, signal })).then((recipe) => recipe.input),
    staleTime: 60_000,
  });
  return found.data as JsonSchema | undefined;
}

function WhatToMake({ value, onChange }: { value: string; onChange: (value: string) => void }) {
  const t = useMessages(messages);
  const workflows = useQuery({ queryKey: ["workflows", "make"], queryFn: ({ signal }) => data(api.GET("/api/v1/workflows", { signal })), enabled: may("workflows:read") });
  const recipes = useQuery({ queryKey: ["recipe"], queryFn: ({ signal }) => data(api.GET("/api/v1/recipes", { signal })), staleTime: Infinity });
  const options = [
    { value: TEXT_TO_IMAGE, label: t("fromPrompt") },
    ...(workflows.data?.items ?? []).map((each) => ({ value: `${WORKFLOW}${each.name}`, label: each.title || each.name, group: t("workflows") })),
    ...(recipes.data?.items ?? []).filter((each) => each.example && each.name !== TEXT_TO_IMAGE && each.name !== "workflow").map((each) => ({ value: each.name, label: each.name, group: t("recipes") })),
  ];
  if (!options.some((option) => option.value === value)) options.push({ value, label: value.replace(WORKFLOW, "") });
  return <Select label={t("what")} value={value} onChange={onChange} options={options} />;
}

/** A ComfyUI graph becomes an endpoint, without leaving the screen. */
function FromGraph() {
  const t = useMessages(messages);
  const [isOpen, setOpen] = useState(false);
  if (!may("workflows:write")) return null;
  return (
    <>
      <Button icon="workflows" onClick={() => setOpen(true)}>{t("graph")}</Button>
      <Dialog title={t("graphTitle")} isOpen={isOpen} onClose={() => setOpen(false)} isWide>
        <Suspense fallback={null}><GraphImport onPublished={() => void queries.invalidateQueries({ queryKey: ["workflows"] })} /></Suspense>
      </Dialog>
    </>
  );
}
