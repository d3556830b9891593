/** Connect a ComfyUI server: find it, examine it line by line, register its models, choose a default. */
import { useQuery } from "@tanstack/react-query";
import { useState } from "preact/hooks";
import { type Schema, api, data } from "~/api/http";
import { refresh } from "~/api/queries";
import { useMessages } from "~/app/i18n";
import { may } from "~/app/session";
import { useDraft } from "~/app/state";
import { toast } from "~/app/toasts";
import { Button, ButtonLink } from "~/parts/button";
import { Select, TextInput } from "~/parts/field";
import { Icon } from "~/parts/icon";
import { Notice, ProblemNotice, Waiting } from "~/parts/page";
import { messages } from "./messages";

type Finding = Schema<"NodeFinding">;
type Found = Schema<"ScanResult">;

/** Examine a node; each finding arrives as soon as it is there. */
async function examine(name: string, onFinding: (finding: Finding) => void): Promise<boolean> {
  const answer = await data(api.POST("/api/v1/nodes/{name}/doctor", { params: { path: { name }, query: { stream: true } }, parseAs: "stream" })) as unknown as ReadableStream<Uint8Array>;
  const reader = answer.pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>).getReader();
  let rest = "";
  let isOk = false;
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return isOk;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop() ?? "";
    for (const block of blocks) {
      const body: unknown = JSON.parse(/^data: (.*)$/m.exec(block)?.[1] ?? "{}");
      if (block.startsWith("event: finding")) onFinding(body as Finding);
      else isOk = (body as { ok?: boolean }).ok ?? false;
    }
  }
}

export function ComfyTile() {
  const t = useMessages(messages);
  const [form, setForm] = useDraft("start.node", { name: "attic", url: "" });
  const [found, setFound] = useState<Found | null>(null);
  const [isScanning, setScanning] = useState(false);
  const [isConnecting, setConnecting] = useState(false);
  const [problem, setProblem] = useState<unknown>(null);
  const [findings, setFindings] = useState<Finding[]>([]);
  const [connected, setConnected] = useState("");
  const scan = async () => {
    setScanning(true);
    setProblem(null);
    try {
      const result = await data(api.POST("/api/v1/nodes/scan"));
      setFound(result);
      const fresh = result.items.find((item) => !item.node);
      if (fresh) setForm({ ...form, url: fresh.url });
    } catch (failure) {
      setProblem(failure);
    } finally {
      setScanning(false);
    }
  };
  const look = async (name: string) => {
    setFindings([]);
    setConnected("");
    setConnecting(true);
    setProblem(null);
    try {
      if (await examine(name, (finding) => setFindings((before) => [...before, finding]))) setConnected(name);
      refresh("nodes", "models");
    } catch (failure) {
      setProblem(failure);
    } finally {
      setConnecting(false);
    }
  };
  const connect = async () => {
    setProblem(null);
    try {
      await data(api.POST("/api/v1/nodes", { body: { name: form.name, url: form.url } }));
    } catch (failure) {
      setProblem(failure);
      return;
    }
    await look(form.name);
  };
  return (
    <section class="card start-tile" aria-labelledby="start-comfy">
      <h2 id="start-comfy">{t("comfyTitle")}</h2>
      <p>{t("comfyText")}</p>
      {!may("nodes:write") ? <Notice>{t("operatorOnly")}</Notice> : (
        <>
          <div><Button icon="search" onClick={() => void scan()} isBusy={isScanning}>{t("scan")}</Button></div>
          {isScanning && <Waiting what={t("scanning")} />}
          {found && !found.items.length && <Notice>{t("foundNone", { ports: found.ports.join(", ") })}</Notice>}
          {found && found.items.length > 0 && (
            <ul class="start-found">
              {found.items.map((item) => (
                <li key={item.url}>
                  <span>{t("found", { url: item.url, device: item.device || item.version })}</span>
                  {item.node ? <Button kind="quiet" onClick={() => void look(item.node ?? "")}>{t("connected", { name: item.node })}</Button> : <Button onClick={() => setForm({ ...form, url: item.url })}>{t("address")}</Button>}
                </li>
              ))}
            </ul>
          )}
          <form class="start-connect" onSubmit={(event) => {
            event.preventDefault();
            void connect();
          }}>
            <TextInput label={t("address")} hint={t("addressHint")} value={form.url} onInput={(url) => setForm({ ...form, url })} inputMode="url" required />
            <TextInput label={t("name")} value={form.name} onInput={(name) => setForm({ ...form, name })} required />
            <div><Button type="submit" kind="primary" isBusy={isConnecting}>{t("connect")}</Button></div>
          </form>
          {problem !== null && <ProblemNotice error={problem} />}
          {findings.length > 0 && (
            <ul class="start-findings" aria-label={t("doctor")} aria-live="polite">
              {findings.map((finding) => (
                <li key={`${finding.subject} ${finding.message}`} class={`start-${finding.level}`}>
                  <Icon name={finding.level === "ok" ? "check" : finding.level === "error" ? "cancel" : "failures"} />
                  <span><b>{finding.subject}</b> {finding.message}</span>
                </li>
              ))}
            </ul>
          )}
          {isConnecting && <Waiting what={t("doctorRuns")} />}
          {connected && <NodeModels node={connected} />}
        </>
      )}
    </section>
  );
}

/** The models of a new node: how many, register all, and the default checkpoint. */
function NodeModels({ node }: { node: string }) {
  const t = useMessages(messages);
  const [problem, setProblem] = useState<unknown>(null);
  const found = useQuery({
    queryKey: ["models", "of-node", node],
    queryFn: ({ signal }) => data(api.GET("/api/v1/models", { params: { query: { node } }, signal })),
  });
  const models = found.data?.items ?? [];
  const checkpoints = models.filter((model) => model.type === "checkpoint");
  const register = async () => {
    try {
      const { items } = await data(api.POST("/api/v1/models/import", { body: { node, dryRun: false } }));
      const present = items.filter((item) => item.state === "present").length;
      toast({ text: t("registered", { count: items.length - present, present }), tone: "good" });
      refresh("models");
    } catch (failure) {
      setProblem(failure);
    }
  };
  const choose = async (air: string) => {
    try {
      await data(api.PUT("/api/v1/models/default", { body: { air } }));
      toast({ text: t("defaultSet", { name: checkpoints.find((model) => model.air === air)?.name ?? air }), tone: "good" });
      refresh("models");
    } catch (failure) {
      setProblem(failure);
    }
  };
  if (found.error) return <ProblemNotice error={found.error} onRetry={() => void found.refetch()} />;
  if (!found.data) return null;
  return (
    <>
      <p>{t("modelsText", { checkpoints: checkpoints.length, loras: models.filter((model) => model.type === "lora").length })}</p>
      {may("models:write") && models.length > 0 && <div><Button kind="primary" onClick={() => void register()}>{t("register")}</Button></div>}
      {may("models:write") && checkpoints.length > 0 && (
        <Select label={t("chooseDefault")} value={found.data.default ?? ""} onChange={(air) => void choose(air)} options={[{ value: "", label: "-" }, ...checkpoints.map((model) => ({ value: model.air, label: model.title ?? model.name, group: model.family || undefined }))]} />
      )}
      {problem !== null && <ProblemNotice error={problem} />}
      <div><ButtonLink href="/" icon="make">{t("ready")}</ButtonLink></div>
    </>
  );
}
