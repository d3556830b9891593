/** Nodes and workers: what renders, which model is where, and the processes of the installation. */
import { useQuery } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "preact/hooks";
import { useFeed } from "~/api/feed";
import { api, data } from "~/api/http";
import { refresh } from "~/api/queries";
import { useMessages } from "~/app/i18n";
import { messages as names } from "~/app/messages";
import { may, ownerQuery, useSession } from "~/app/session";
import { useUrlState } from "~/app/state";
import { Button } from "~/parts/button";
import { Empty, Page, ProblemNotice, Waiting } from "~/parts/page";
import { Tabs } from "~/parts/tabs";
import { AddNode } from "./add-node";
import { NodeCard } from "./card";
import { messages } from "./messages";
import { ModelMatrix } from "./matrix";
import { Outlook } from "./outlook";
import "./style.css";
import { Workers } from "./workers";

const PAUSE_MS = 3000;

/** Read the nodes again after events of jobs, as these load models; at most every 3 s. */
function useNodesRefresh() {
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  useEffect(() => () => clearTimeout(timer.current), []);
  useFeed({
    jobs: () => {
      timer.current ??= setTimeout(() => {
        timer.current = undefined;
        refresh("nodes");
      }, PAUSE_MS);
    },
  });
}

export default function Nodes() {
  const t = useMessages(messages);
  const n = useMessages(names);
  const { owner } = useSession();
  const [tab, setTab] = useUrlState("tab", "nodes");
  const [isAdding, setAdding] = useState(false);
  const nodes = useQuery({ queryKey: ["nodes"], queryFn: ({ signal }) => data(api.GET("/api/v1/nodes", { signal })) });
  const residency = useQuery({ queryKey: ["nodes", "residency"], queryFn: ({ signal }) => data(api.GET("/api/v1/residency", { signal })) });
  const running = useQuery({
    queryKey: ["jobs", owner, "running"],
    queryFn: ({ signal }) => data(api.GET("/api/v1/jobs", { params: { query: { status: ["running"], limit: 200, ...ownerQuery() } }, signal })),
  });
  useNodesRefresh();
  const all = residency.data?.nodes ?? [];
  const tabs = [
    { key: "nodes", label: t("nodes"), count: all.length },
    { key: "models", label: t("matrix") },
    ...(may("admin") ? [{ key: "workers", label: t("workers") }] : []),
    { key: "outlook", label: t("outlook") },
  ];
  const calls: Record<string, [string, string]> = {
    nodes: ["/api/v1/nodes", "imagemill nodes list"],
    models: ["/api/v1/residency", "imagemill nodes models"],
    workers: ["/api/v1/workers", "imagemill workers list"],
    outlook: ["/api/v1/forecast", "imagemill jobs forecast"],
  };
  const shown = tabs.some(({ key }) => key === tab) ? tab : "nodes";
  const [path, cli] = calls[shown] ?? ["/api/v1/nodes", "imagemill nodes list"];
  return (
    <Page title={n("nodes")} call={{ method: "GET", path, cli }} actions={may("nodes:write") && <Button icon="add" onClick={() => setAdding(true)}>{t("add")}</Button>}>
      {residency.error && <ProblemNotice error={residency.error} onRetry={() => void residency.refetch()} />}
      {residency.isPending && <Waiting what={t("nodes")} />}
      {residency.data && (
        <Tabs label={n("nodes")} tabs={tabs} selected={shown} onSelect={setTab}>
          {shown === "models" ? <ModelMatrix residency={residency.data} />
            : shown === "workers" ? <Workers />
            : shown === "outlook" ? <Outlook nodes={all.map((node) => node.name)} />
            : all.length === 0 ? <Empty icon="nodes" title={t("none")}>{may("nodes:write") && <Button kind="primary" icon="add" onClick={() => setAdding(true)}>{t("add")}</Button>}</Empty>
            : <ul class="nodes-cards">{all.map((node) => (
                <NodeCard key={node.name} node={node} info={nodes.data?.items.find((each) => each.name === node.name)} jobs={(running.data?.items ?? []).filter((job) => job.node === node.name)} />
              ))}</ul>}
        </Tabs>
      )}
      <AddNode isOpen={isAdding} onClose={() => setAdding(false)} />
    </Page>
  );
}
