/** Models: the registry, joined with the files that nodes really have. */
import { useQuery } from "@tanstack/react-query";
import { useState } from "preact/hooks";
import { type Schema, api, data } from "~/api/http";
import { refresh } from "~/api/queries";
import { bytes, useMessages } from "~/app/i18n";
import { messages as names } from "~/app/messages";
import { may, ownerQuery, useSession } from "~/app/session";
import { useUrlState } from "~/app/state";
import { toast } from "~/app/toasts";
import { Button } from "~/parts/button";
import { Select, TextInput } from "~/parts/field";
import { Empty, Page, ProblemNotice, Waiting } from "~/parts/page";
import { VirtualList } from "~/parts/virtual-list";
import { AddModel } from "./add";
import { ModelPanel } from "./panel";
import { messages } from "./messages";
import "./style.css";

export type Model = Schema<"InstalledModelBody">;
const ROW_PX = 64;

/** Return the number of jobs by the AIR or file of their model, in lower case. */
function useUsage(): Map<string, number> {
  const { owner } = useSession();
  const found = useQuery({
    queryKey: ["counts", "model", owner],
    queryFn: ({ signal }) => data(api.GET("/api/v1/jobs/counts", { params: { query: { by: "model", ...ownerQuery() } }, signal })),
  });
  return new Map((found.data?.items ?? []).map((each) => [String(each.key).toLowerCase(), each.count]));
}

export default function Models() {
  const t = useMessages(messages);
  const n = useMessages(names);
  const [text, setText] = useUrlState("q");
  const [type, setType] = useUrlState("type");
  const [chosen, setChosen] = useUrlState("model");
  const [isAdding, setAdding] = useState(false);
  const found = useQuery({ queryKey: ["models"], queryFn: ({ signal }) => data(api.GET("/api/v1/models", { signal })) });
  const usage = useUsage();
  const all = found.data?.items ?? [];
  const nodes = [...new Set(all.flatMap((each) => each.nodes))].sort();
  const types = [...new Set(all.map((each) => each.type))].sort();
  const shown = all.filter((each) => (!type || each.type === type) && `${each.name} ${each.title ?? ""} ${each.air}`.toLowerCase().includes(text.toLowerCase()));
  const model = all.find((each) => each.air === chosen);
  const usedBy = (each: Model) => (usage.get(each.air.toLowerCase()) ?? 0) + (usage.get(each.name.toLowerCase()) ?? 0);
  const isAllowed = may("models:write");
  return (
    <Page title={n("models")} call={{ method: "GET", path: `/api/v1/models${type ? `?type=${type}` : ""}`, cli: `imagemill models list${type ? ` --type ${type}` : ""}` }}
      actions={isAllowed && <><ImportAll models={all} nodes={nodes} /><Button kind="primary" icon="add" onClick={() => setAdding(true)}>{t("add")}</Button></>}>
      <div class="models-filters">
        <TextInput label={t("find")} type="search" value={text} onInput={setText} />
        <Select label={t("type")} value={type} onChange={setType} options={[{ value: "", label: t("all") }, ...types.map((value) => ({ value, label: value }))]} />
      </div>
      {found.error && <ProblemNotice error={found.error} onRetry={() => void found.refetch()} />}
      {found.isPending && <Waiting what={t("models")} />}
      {found.data && !shown.length && <Empty icon="models" title={t("none")}><p>{t("noneText")}</p></Empty>}
      {shown.length > 0 && <p class="soft small">{t("shown", { count: shown.length })}</p>}
      {shown.length > 0 && (
        <VirtualList label={n("models")} items={shown} keyOf={(each) => `${each.type} ${each.air} ${each.name}`} rowHeight={ROW_PX}>
          {(each) => <Row model={each} nodes={nodes} used={usedBy(each)} isDefault={isDefault(each, found.data?.defaults)} onOpen={() => setChosen(each.air)} />}
        </VirtualList>
      )}
      {model && <ModelPanel key={model.air} model={model} nodes={nodes} used={usedBy(model)} isDefault={isDefault(model, found.data?.defaults)} onClose={() => setChosen("")} />}
      <AddModel isOpen={isAdding} onClose={() => setAdding(false)} />
    </Page>
  );
}

function isDefault(model: Model, defaults: Record<string, string> | undefined): boolean {
  return Object.values(defaults ?? {}).includes(model.air);
}

function Row({ model, nodes, used, isDefault: isChosen, onOpen }: { model: Model; nodes: string[]; used: number; isDefault: boolean; onOpen: () => void }) {
  const t = useMessages(messages);
  return (
    <div class="models-row">
      <button type="button" class="models-name" onClick={onOpen}>
        <strong>{model.title ?? model.name}</strong>
        <span class="soft small">{model.title ? model.name : model.air}</span>
      </button>
      <span class="models-facts small">
        <span>{model.type}{model.family && ` · ${model.family}`}{model.size !== null && ` · ${bytes(model.size)}`}</span>
        <span class="soft">{used ? t("used", { count: used }) : t("usedNever")}</span>
      </span>
      <span class="models-marks">
        {isChosen && <span class="models-mark models-default">{t("isDefault")}</span>}
        <span class={`models-mark${model.registered ? " models-registered" : ""}`}>{t(model.registered ? "registered" : "unregistered")}</span>
      </span>
      <NodeDots model={model} nodes={nodes} />
    </div>
  );
}

/** A dot for each node: filled where the node has the file. */
export function NodeDots({ model, nodes }: { model: Model; nodes: string[] }) {
  const t = useMessages(messages);
  if (!model.nodes.length) return <span class="models-nodes soft small">{t("noNode")}</span>;
  return (
    <ul class="models-nodes small" aria-label={t("nodes")}>
      {nodes.map((node) => {
        const has = model.nodes.includes(node);
        return <li key={node} class={has ? "models-has" : "models-lacks"} title={t(has ? "has" : "lacks", { node })}><span class="visually-hidden">{t(has ? "has" : "lacks", { node })}</span><span aria-hidden="true">{node}</span></li>;
      })}
    </ul>
  );
}

function ImportAll({ models, nodes }: { models: Model[]; nodes: string[] }) {
  const t = useMessages(messages);
  const [isBusy, setBusy] = useState(false);
  const count = models.filter((each) => !each.registered && each.nodes.length > 0).length;
  const run = async () => {
    setBusy(true);
    try {
      let added = 0;
      for (const node of nodes) {
        const done = await data(api.POST("/api/v1/models/import", { body: { node, dryRun: false } }));
        added += done.items.filter((item) => item.state !== "present").length;
      }
      toast({ text: t("imported", { count: added }), tone: "good" });
    } catch (error) {
      toast({ text: error instanceof Error ? error.message : String(error), tone: "bad" });
    } finally {
      setBusy(false);
      refresh("models");
    }
  };
  return count > 0 ? <Button icon="download" isBusy={isBusy} onClick={() => void run()}>{t("importAll", { count })}</Button> : null;
}
