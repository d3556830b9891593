/** A node: its health in a sentence, its memory, what its slots do, and what an operator can do with it. */
import { useQuery } from "@tanstack/react-query";
import { useState } from "preact/hooks";
import { Link } from "wouter-preact";
import { type ProgressNews, useFeed } from "~/api/feed";
import { type Schema, api, data } from "~/api/http";
import { refresh } from "~/api/queries";
import { ago, duration, number, useMessages } from "~/app/i18n";
import { may, ownerQuery } from "~/app/session";
import { toast, withUndo } from "~/app/toasts";
import { Button } from "~/parts/button";
import { CopyAs } from "~/parts/copy-as";
import { Dialog } from "~/parts/dialog";
import { Icon } from "~/parts/icon";
import { Picture } from "~/parts/picture";
import { Progress } from "~/parts/status";
import { messages } from "./messages";
import { hourOf } from "./hour";

type Node = Schema<"ResidencyNode">;
type Info = Schema<"NodeInfo">;
type Job = Schema<"JobBody">;

const shortModel = (air: string) => air.replace(/^urn:air:/, "").replace(/^file:/, "").split(/[\\/]/).pop() ?? air;

function stateOf(node: Node, info: Info | undefined): "good" | "warn" | "bad" {
  if (!node.healthy || info?.state === "troubled") return "bad";
  return node.draining ? "warn" : "good";
}

export function NodeCard({ node, info, jobs }: { node: Node; info: Info | undefined; jobs: Job[] }) {
  const t = useMessages(messages);
  const state = stateOf(node, info);
  const seen = info?.seen;
  const free = Math.max(0, node.slots - jobs.length);
  const sentence = state === "bad" ? node.problem || info?.trouble || t("unhealthy") : node.draining ? t("drains", { count: jobs.length }) : t("healthy", { count: jobs.length, slots: node.slots });
  const used = seen?.memoryMb && seen.memoryFreeMb !== null ? seen.memoryMb - seen.memoryFreeMb : null;
  return (
    <li class={`nodes-card nodes-card-${state}`} id={`node-${node.name}`}>
      <header>
        <Icon name="cpu" />
        <h2>{node.name}</h2>
        <span class="soft small">{node.backend}{seen?.version ? ` ${seen.version}` : ""}</span>
      </header>
      <p class={`nodes-health nodes-health-${state}`}>{sentence}</p>
      {seen?.device && <p class="soft small">{seen.device}{seen.at ? ` · ${t("seen", { ago: ago(seen.at) })}` : ""}</p>}
      {used !== null && seen?.memoryMb && (
        <div class="nodes-memory">
          <div class="nodes-meter" role="img" aria-label={t("memory", { used: gigabytes(used), total: gigabytes(seen.memoryMb) })}><span style={{ width: `${Math.round((100 * used) / seen.memoryMb)}%` }} /></div>
          <span class="small">{t("memory", { used: gigabytes(used), total: gigabytes(seen.memoryMb) })}</span>
        </div>
      )}
      <p class="small">
        {node.loading ? t("loadingModel", { model: shortModel(node.loading) }) : node.loaded.length ? t("loadedModel", { model: node.loaded.map(shortModel).join(", ") }) : t("noModel")}
        {node.loadS ? <span class="soft"> {t("loadTakes", { time: duration(node.loadS) })}</span> : null}
      </p>
      <ul class="nodes-slots">
        {jobs.map((job) => <Slot key={job.id} job={job} />)}
        {Array.from({ length: free }, (_, slot) => <li key={slot} class="nodes-slot nodes-slot-free soft small">{t("freeSlot")}</li>)}
      </ul>
      <LastHour name={node.name} />
      {info && <NodeActions info={info} />}
    </li>
  );
}

const gigabytes = (megabytes: number) => number(megabytes / 1024, { style: "unit", unit: "gigabyte", unitDisplay: "short", maximumFractionDigits: 1 });

function Slot({ job }: { job: Job }) {
  const [live, setLive] = useState<ProgressNews | null>(null);
  useFeed({ progress: (news) => setLive((before) => news.find((each) => each.id === job.id) ?? before) });
  const progress = live ?? job.progress;
  const name = job.name ?? (typeof job.input.prompt === "string" ? job.input.prompt : job.recipe);
  return (
    <li class="nodes-slot">
      {progress?.preview ? <Picture src={progress.preview} alt="" /> : <span class="nodes-blank" />}
      <div>
        <Link href={`/jobs/${job.id}`}>{name}</Link>
        {progress && <Progress progress={progress.progress} step={progress.step} total={progress.total} label={name} />}
      </div>
    </li>
  );
}

/** Loads and jobs of the last hour, and the latest failure, of those whose jobs are shown. */
function LastHour({ name }: { name: string }) {
  const t = useMessages(messages);
  const stats = useQuery({ queryKey: ["stats", "hour", name], queryFn: () => hourOf(name) });
  const failed = useQuery({
    queryKey: ["jobs", "failed", name],
    queryFn: ({ signal }) => data(api.GET("/api/v1/jobs", { params: { query: { node: [name], status: ["failed"], limit: 1, ...ownerQuery() } }, signal })),
  });
  const last = failed.data?.items[0];
  return (
    <p class="small soft nodes-hour">
      {stats.data && t("hour", { count: stats.data.finished, loads: stats.data.loads })}
      {last && <>{" "}<Link href={`/jobs/${last.id}`}>{t("lastError", { error: last.error?.code ?? "", ago: ago(last.finishedAt ?? last.createdAt) })}</Link></>}
    </p>
  );
}

function NodeActions({ info }: { info: Info }) {
  const t = useMessages(messages);
  const [findings, setFindings] = useState<Schema<"NodeExamination"> | null>(null);
  const [isBusy, setBusy] = useState(false);
  const params = { path: { name: info.name } };
  const path = `/api/v1/nodes/${encodeURIComponent(info.name)}`;
  const drain = () =>
    withUndo(t(info.draining ? "willServe" : "willDrain", { name: info.name }), async () => {
      await data(info.draining ? api.DELETE("/api/v1/nodes/{name}/drain", { params }) : api.POST("/api/v1/nodes/{name}/drain", { params }));
      refresh("nodes");
    });
  const examine = async () => {
    setBusy(true);
    try {
      const found = await data(api.POST("/api/v1/nodes/{name}/doctor", { params }));
      if (typeof found === "object") setFindings(found);
    } catch (error) {
      toast({ text: error instanceof Error ? error.message : String(error), tone: "bad" });
    } finally {
      setBusy(false);
    }
  };
  const remove = () =>
    withUndo(t("willRemove", { name: info.name }), async () => {
      await data(api.DELETE("/api/v1/nodes/{name}", { params }));
      refresh("nodes");
    });
  if (!may("nodes:write")) return null;
  return (
    <footer>
      <Button onClick={drain} icon={info.draining ? "play" : "pause"}>{t(info.draining ? "serve" : "drain")}</Button>
      <Button onClick={() => void examine()} icon="test" isBusy={isBusy}>{t(isBusy ? "examining" : "doctor")}</Button>
      {info.source === "added" && <Button kind="danger" onClick={remove} icon="delete">{t("remove")}</Button>}
      <CopyAs call={{ method: info.draining ? "DELETE" : "POST", path: `${path}/drain`, cli: `imagemill nodes ${info.draining ? "undrain" : "drain"} ${info.name}` }} />
      <Dialog title={t("doctorOf", { name: info.name })} isOpen={findings !== null} onClose={() => setFindings(null)} isWide>
        <ul class="nodes-findings">
          {findings?.findings.map((each) => <li key={`${each.subject}${each.message}`} class={`nodes-finding-${each.level}`}><strong>{each.subject}</strong> {each.message}</li>)}
        </ul>
      </Dialog>
    </footer>
  );
}
