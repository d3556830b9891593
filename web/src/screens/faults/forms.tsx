/** The dialogs in which a fault is described. */
import { useState } from "preact/hooks";
import { Problem, type Schema, api, data } from "~/api/http";
import { refresh } from "~/api/queries";
import { number, useMessages } from "~/app/i18n";
import { useDraft } from "~/app/state";
import { toast } from "~/app/toasts";
import { Button } from "~/parts/button";
import { CopyAs } from "~/parts/copy-as";
import { Dialog } from "~/parts/dialog";
import { NumberInput, Select, Slider, TextInput } from "~/parts/field";
import { ProblemNotice } from "~/parts/page";
import { messages } from "./messages";

type WorkerRule = Schema<"WorkerFaultBody">;
type ApiRule = Schema<"FaultBody">;
interface FormProps {
  isOpen: boolean;
  onClose: () => void;
}

const FAULTS: WorkerRule["fault"][] = [
  "out_of_memory", "missing_model", "missing_node", "hang", "slow_load", "silent", "crash", "partial", "corrupt", "blank", "wrong_size", "content", "rate_limited", "server_error", "rejected",
];
const FIRST_WORKER: WorkerRule = { fault: "out_of_memory", times: 1, probability: 1 };

/** Return the state of sending a form: its error, and the function that sends it. */
function useSending(onDone: () => void) {
  const t = useMessages(messages);
  const [error, setError] = useState<unknown>(null);
  const [isBusy, setBusy] = useState(false);
  const submit = async (act: () => Promise<unknown>) => {
    setBusy(true);
    setError(null);
    try {
      await act();
      toast({ text: t("added"), tone: "good" });
      refresh("jobs");
      onDone();
    } catch (failure) {
      setError(failure);
    } finally {
      setBusy(false);
    }
  };
  const ofField = (name: string) => (error instanceof Problem ? error.errors[name]?.join("; ") : undefined);
  return { error, isBusy, submit, ofField };
}

function Probability({ value, onInput }: { value: number; onInput: (value: number) => void }) {
  const t = useMessages(messages);
  return <Slider label={t("probability")} min={1} max={100} value={Math.round(value * 100)} shown={number(value, { style: "percent" })} onInput={(percent) => onInput(percent / 100)} />;
}

export function WorkerFaultForm({ isOpen, onClose }: FormProps) {
  const t = useMessages(messages);
  const [rule, setRule] = useDraft<WorkerRule>("faults.worker", FIRST_WORKER);
  const { error, isBusy, submit, ofField } = useSending(onClose);
  const set = (changes: Partial<WorkerRule>) => setRule({ ...rule, ...changes });
  const body = Object.fromEntries(Object.entries(rule).filter(([, value]) => value !== "" && value !== null)) as WorkerRule;
  return (
    <Dialog title={t("addWorker")} isOpen={isOpen} onClose={onClose} isSide
      actions={<>
        <CopyAs call={{ method: "POST", path: "/api/v1/simulator/worker-faults", body, cli: `imagemill simulator faults add ${rule.fault} --probability ${rule.probability ?? 1}` }} />
        <Button kind="primary" isBusy={isBusy} onClick={() => void submit(() => data(api.POST("/api/v1/simulator/worker-faults", { body })))}>{t("save")}</Button>
      </>}>
      {error !== null && <ProblemNotice error={error} />}
      <Select label={t("fault")} value={rule.fault} onChange={(fault) => set({ fault: fault as WorkerRule["fault"] })} options={FAULTS.map((value) => ({ value, label: t(`f_${value}`) }))} />
      <Probability value={rule.probability ?? 1} onInput={(probability) => set({ probability })} />
      <NumberInput label={t("times")} hint={t("timesHint")} error={ofField("times")} min={1} value={rule.times ?? 1} onInput={(times) => set({ times: times ?? 1 })} />
      <TextInput label={t("model")} error={ofField("model")} placeholder="flux" value={rule.model ?? ""} onInput={(model) => set({ model })} />
      <TextInput label={t("prompt")} error={ofField("prompt")} value={rule.prompt ?? ""} onInput={(prompt) => set({ prompt })} />
      <TextInput label={t("node")} error={ofField("node")} placeholder="sim-1" value={rule.node ?? ""} onInput={(node) => set({ node })} />
      {rule.fault === "slow_load" && <NumberInput label={t("loadMs")} error={ofField("loadMs")} min={0} value={rule.loadMs ?? null} onInput={(loadMs) => set({ loadMs })} />}
    </Dialog>
  );
}

const KINDS = { http: "kindHttp", slow: "kindSlow", before: "kindDropBefore", after: "kindDropAfter", cut: "kindCut", expired: "kindExpired" } as const;
type Kind = keyof typeof KINDS;
interface ApiDraft {
  kind: Kind;
  http: number | null;
  retryAfter: number | null;
  slowMs: number | null;
  method: string;
  path: string;
  times: number | null;
  probability: number;
}
const FIRST_API: ApiDraft = { kind: "http", http: 429, retryAfter: 1, slowMs: 2000, method: "", path: "/v1/*", times: 2, probability: 1 };

function ruleOf(draft: ApiDraft): ApiRule {
  const rule: ApiRule = { cut: false, expiredBlob: false, times: draft.times, probability: draft.probability };
  if (draft.kind === "http") {
    rule.http = draft.http ?? 500;
    if (draft.retryAfter !== null) rule.retryAfter = draft.retryAfter;
  } else if (draft.kind === "slow") rule.slowMs = draft.slowMs ?? 1000;
  else if (draft.kind === "cut") rule.cut = true;
  else if (draft.kind === "expired") rule.expiredBlob = true;
  else rule.drop = draft.kind;
  if (draft.method) rule.method = draft.method;
  if (draft.path) rule.path = draft.path;
  return rule;
}

export function ApiFaultForm({ isOpen, onClose }: FormProps) {
  const t = useMessages(messages);
  const [draft, setDraft] = useDraft<ApiDraft>("faults.api", FIRST_API);
  const { error, isBusy, submit, ofField } = useSending(onClose);
  const set = (changes: Partial<ApiDraft>) => setDraft({ ...draft, ...changes });
  const body = ruleOf(draft);
  return (
    <Dialog title={t("addApi")} isOpen={isOpen} onClose={onClose} isSide
      actions={<>
        <CopyAs call={{ method: "POST", path: "/api/v1/simulator/faults", body }} />
        <Button kind="primary" isBusy={isBusy} onClick={() => void submit(() => data(api.POST("/api/v1/simulator/faults", { body })))}>{t("save")}</Button>
      </>}>
      {error !== null && <ProblemNotice error={error} />}
      <Select label={t("kind")} value={draft.kind} onChange={(kind) => set({ kind: kind as Kind })} options={Object.entries(KINDS).map(([value, key]) => ({ value, label: t(key) }))} />
      {draft.kind === "http" && <NumberInput label={t("status")} error={ofField("http")} min={400} max={599} value={draft.http} onInput={(http) => set({ http })} />}
      {draft.kind === "http" && <NumberInput label={t("retryAfter")} error={ofField("retryAfter")} min={0} value={draft.retryAfter} onInput={(retryAfter) => set({ retryAfter })} />}
      {draft.kind === "slow" && <NumberInput label={t("slowMs")} error={ofField("slowMs")} min={1} value={draft.slowMs} onInput={(slowMs) => set({ slowMs })} />}
      <Select label={t("method")} value={draft.method} onChange={(method) => set({ method })} options={["", "GET", "POST", "PUT", "DELETE"].map((value) => ({ value, label: value || t("any") }))} />
      <TextInput label={t("path")} hint={t("pathHint")} error={ofField("path")} value={draft.path} onInput={(path) => set({ path })} />
      <NumberInput label={t("timesApi")} hint={t("timesApiHint")} error={ofField("times")} min={1} value={draft.times} onInput={(times) => set({ times })} />
      <Probability value={draft.probability} onInput={(probability) => set({ probability })} />
    </Dialog>
  );
}
