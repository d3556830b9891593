/** A graph becomes an endpoint: drop it, choose its inputs, test it, publish it, on one screen. */
import { useState } from "preact/hooks";
import { Problem, type Schema, api, data } from "~/api/http";
import { refresh } from "~/api/queries";
import { useMessages } from "~/app/i18n";
import { may } from "~/app/session";
import { useDraft } from "~/app/state";
import { Button } from "~/parts/button";
import { CopyAs, CopyText, curl, type Call } from "~/parts/copy-as";
import { DropZone } from "~/parts/drop-zone";
import { Checkbox, TextInput } from "~/parts/field";
import { Notice, ProblemNotice, Waiting } from "~/parts/page";
import { Inputs, type Row } from "./inputs";
import { messages } from "./messages";
import { Needs } from "./needs";
import { type FoundInput, type Proposal, type Source, nameOf, readSource, valueInGraph } from "./source";
import { TestRun } from "./test-run";
import "./style.css";

interface GraphImportProps {
  /** A workflow that is there and gets a new version. */
  of?: { name: string; manifest: string };
  onPublished?: (name: string) => void;
}

interface Draft {
  proposal: Proposal;
  rows: Row[];
  name: string;
  title: string;
}

/** Return an input as the API takes it. */
export function given({ input }: Row): Schema<"ProposedInput"> {
  const { choices, help, ...rest } = input;
  return { ...rest, choices: choices ?? [], help: help ?? "" };
}

export function GraphImport({ of, onPublished }: GraphImportProps) {
  const t = useMessages(messages);
  const [draft, setDraft] = useDraft<Draft | null>(of ? `graph-import.${of.name}` : "graph-import", null);
  const [error, setError] = useState<unknown>(null);
  const [isReading, setReading] = useState(false);
  const propose = async (source: Source, name: string) => {
    setReading(true);
    setError(null);
    try {
      const proposal = await data(api.POST("/api/v1/workflows/propose", { body: { ...source, name, title: "", description: "" } }));
      const rows = proposal.inputs.map((input): Row => ({ isOffered: true, found: input.name, input: { ...input, default: input.default ?? valueInGraph(proposal.graph, input) } }));
      setDraft({ proposal, rows, name: proposal.name, title: proposal.title });
    } catch (failure) {
      setError(failure);
    } finally {
      setReading(false);
    }
  };
  const take = async ([file]: File[]) => {
    if (!file) return;
    const source = await readSource(file);
    if (source) await propose(source, of?.name ?? nameOf(file));
    else setError(new Error(t("notJson", { name: file.name })));
  };
  if (of && !draft && !isReading && error === null) void propose({ manifest: of.manifest }, of.name);
  return (
    <div class="graph-import">
      {!draft && <p class="soft">{t("intro")}</p>}
      <DropZone label={t("drop")} accept=".json,.png,application/json,image/png" onFiles={(files) => void take(files)} />
      {error !== null && <ProblemNotice error={error} />}
      {isReading && <Waiting what={t("reading")} />}
      {draft && <Editor key={draft.proposal.manifest} draft={draft} setDraft={setDraft} isChange={of !== undefined} onPublished={onPublished} />}
    </div>
  );
}

interface EditorProps {
  draft: Draft;
  setDraft: (draft: Draft | null) => void;
  isChange: boolean;
  onPublished?: (name: string) => void;
}

function Editor({ draft, setDraft, isChange, onPublished }: EditorProps) {
  const t = useMessages(messages);
  const { proposal, rows, name, title } = draft;
  const [error, setError] = useState<unknown>(null);
  const [isBusy, setBusy] = useState(false);
  const [isShared, setShared] = useState(false);
  const [published, setPublished] = useState<Schema<"WorkflowInfo"> | null>(null);
  const offered = rows.filter((row) => row.isOffered);
  const isTaken = error instanceof Problem && error.status === 409;
  const publish = async (isNewVersion: boolean) => {
    setBusy(true);
    setError(null);
    try {
      const body = { graph: proposal.graph, name, title, description: proposal.description, inputs: offered.map(given) };
      const { manifest } = await data(api.POST("/api/v1/workflows/propose", { body }));
      const query = isShared ? { shared: true } : {};
      const done = isNewVersion
        ? await data(api.PUT("/api/v1/workflows/{name}", { params: { path: { name }, query }, body: { manifest } }))
        : await data(api.POST("/api/v1/workflows", { params: { query }, body: { name, manifest } }));
      setPublished(done);
      refresh("workflows");
      onPublished?.(done.name);
    } catch (failure) {
      setError(failure);
    } finally {
      setBusy(false);
    }
  };
  const fieldError = (path: string) => (error instanceof Problem ? error.errors[path]?.join("; ") : undefined);
  return (
    <>
      <section class="card graph-import-part" aria-label={t("endpoint")}>
        <h2>{t("endpoint")}</h2>
        <div class="graph-import-names">
          <TextInput label={t("name")} value={name} disabled={isChange} error={fieldError("name")} hint={<code>POST /api/v1/workflows/{name}</code>} onInput={(value) => setDraft({ ...draft, name: value })} />
          <TextInput label={t("title")} value={title} onInput={(value) => setDraft({ ...draft, title: value })} />
        </div>
      </section>
      <Needs proposal={proposal} />
      <Inputs rows={rows} onChange={(next) => setDraft({ ...draft, rows: next })} errorOf={(input, field) => fieldError(`inputs.${input}.${field}`)} />
      <TestRun graph={proposal.graph} inputs={rows.map((row): FoundInput => row.input)} />
      {error !== null && !isTaken && <ProblemNotice error={error} />}
      {isTaken && <Notice tone="warn" actions={<Button isBusy={isBusy} onClick={() => void publish(true)}>{t("publishVersion")}</Button>}>{t("taken")}</Notice>}
      <div class="graph-import-actions">
        {may("models:write") && <Checkbox label={t("shared")} isChecked={isShared} onChange={setShared} />}
        <Button kind="primary" icon="upload" isBusy={isBusy} onClick={() => void publish(isChange)}>{t(isChange ? "publishVersion" : "publish")}</Button>
        {!isChange && <Button kind="quiet" onClick={() => setDraft(null)}>{t("another")}</Button>}
      </div>
      {published && <Published workflow={published} />}
    </>
  );
}

/** Return the call that runs a workflow, with an example for the first text and each input that must be given. */
export function runCall(workflow: Schema<"WorkflowSummary">): Call {
  const first = workflow.inputs.find((input) => input.type === "text");
  const chosen = workflow.inputs.filter((input) => input.required || input === first);
  const body = Object.fromEntries(chosen.map((input) => [input.name, input.default ?? (input.type === "text" ? "a lighthouse at dusk" : "")]));
  const values = Object.entries(body).map(([key, value]) => `${key}='${String(value).replaceAll("'", `'\\''`)}'`);
  return { method: "POST", path: `/api/v1/workflows/${workflow.name}`, body, cli: ["imagemill workflows run", workflow.name, ...values, "--wait"].join(" ") };
}

function Published({ workflow }: { workflow: Schema<"WorkflowInfo"> }) {
  const t = useMessages(messages);
  const call = runCall(workflow);
  return (
    <section class="card graph-import-part" aria-live="polite">
      <Notice tone="good" actions={<CopyAs call={call} />}>{t("published", { name: workflow.name, version: String(workflow.version) })}</Notice>
      <CopyText label={t("call")} text={curl(call)} />
    </section>
  );
}
