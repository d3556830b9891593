/** Workflows: graphs of ComfyUI as endpoints with typed inputs. */
import { useQuery } from "@tanstack/react-query";
import { Link, useLocation, useRoute } from "wouter-preact";
import { type Schema, api, data } from "~/api/http";
import { useMessages } from "~/app/i18n";
import { messages as names } from "~/app/messages";
import { may } from "~/app/session";
import { useUrlState } from "~/app/state";
import { Button } from "~/parts/button";
import { TextInput } from "~/parts/field";
import { GraphImport } from "~/parts/graph-import";
import { Empty, Page, ProblemNotice, Waiting } from "~/parts/page";
import { Detail } from "./detail";
import { messages } from "./messages";
import "./style.css";

export type Workflow = Schema<"WorkflowSummary">;
/** No workflow can have this name. */
export const NEW = "+";

export default function Workflows() {
  const [, params] = useRoute("/workflows/:name");
  if (params?.name === NEW) return <Add />;
  return params?.name ? <Detail key={params.name} name={params.name} /> : <List />;
}

function Add() {
  const t = useMessages(messages);
  const [, navigate] = useLocation();
  return (
    <Page title={t("addTitle")} actions={<Button kind="quiet" icon="left" onClick={() => navigate("/workflows")}>{t("back")}</Button>}
      call={{ method: "POST", path: "/api/v1/workflows/propose", body: { name: "my-workflow", graph: {} }, cli: "imagemill workflows propose graph.json" }}>
      <GraphImport />
    </Page>
  );
}

function List() {
  const t = useMessages(messages);
  const n = useMessages(names);
  const [, navigate] = useLocation();
  const [text, setText] = useUrlState("q");
  const found = useQuery({ queryKey: ["workflows"], queryFn: ({ signal }) => data(api.GET("/api/v1/workflows", { signal })) });
  const all = found.data?.items ?? [];
  const shown = all.filter((each) => `${each.name} ${each.title}`.toLowerCase().includes(text.toLowerCase()));
  return (
    <Page title={n("workflows")} call={{ method: "GET", path: "/api/v1/workflows", cli: "imagemill workflows list" }}
      actions={may("workflows:write") && <Button kind="primary" icon="add" onClick={() => navigate(`/workflows/${NEW}`)}>{t("add")}</Button>}>
      {found.error && <ProblemNotice error={found.error} onRetry={() => void found.refetch()} />}
      {found.isPending && <Waiting what={t("workflows")} />}
      {all.length > 0 && <TextInput label={t("find")} type="search" value={text} onInput={setText} />}
      {found.data && !all.length && <Empty icon="workflows" title={t("none")}><p>{t("noneText")}</p></Empty>}
      {all.length > 0 && !shown.length && <p class="soft">{t("noMatch", { text })}</p>}
      <ul class="workflows-list">
        {shown.map((each) => <li key={each.name}><Card workflow={each} /></li>)}
      </ul>
    </Page>
  );
}

export function useOrigin(): (workflow: Workflow) => string {
  const t = useMessages(messages);
  return (workflow) => {
    if (workflow.source === "built-in") return t("builtIn");
    return `${t(workflow.shared ? "everybody" : "mine")}, ${t("version", { version: String(workflow.version) })}`;
  };
}

function Card({ workflow }: { workflow: Workflow }) {
  const t = useMessages(messages);
  const origin = useOrigin();
  return (
    <Link class="card workflows-card" href={`/workflows/${encodeURIComponent(workflow.name)}`}>
      <strong>{workflow.title || workflow.name}</strong>
      <code>{workflow.name}</code>
      {workflow.description && <span class="soft small workflows-text">{workflow.description}</span>}
      <span class="soft small">{origin(workflow)} · {t("inputs", { count: workflow.inputs.length })}</span>
    </Link>
  );
}
