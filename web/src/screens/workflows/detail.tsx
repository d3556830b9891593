/** One workflow: its inputs, the call that runs it, its versions and their differences. */
import { useQuery } from "@tanstack/react-query";
import { Link, useLocation } from "wouter-preact";
import { type Schema, api, data } from "~/api/http";
import { refresh } from "~/api/queries";
import { ago, number, useMessages } from "~/app/i18n";
import { may } from "~/app/session";
import { useUrlState } from "~/app/state";
import { withUndo } from "~/app/toasts";
import { Button, ButtonLink } from "~/parts/button";
import { CopyText, curl } from "~/parts/copy-as";
import { Select } from "~/parts/field";
import { GraphImport, runCall } from "~/parts/graph-import";
import { messages as inputMessages } from "~/parts/graph-import/messages";
import { Notice, Page, ProblemNotice, Waiting } from "~/parts/page";
import { Tabs } from "~/parts/tabs";
import { messages } from "./messages";

type Info = Schema<"WorkflowInfo">;

export function Detail({ name }: { name: string }) {
  const t = useMessages(messages);
  const [, navigate] = useLocation();
  const [tab, setTab] = useUrlState("tab", "overview");
  const found = useQuery({ queryKey: ["workflows", name], queryFn: ({ signal }) => data(api.GET("/api/v1/workflows/{name}", { params: { path: { name } }, signal })) });
  const workflow = found.data;
  const isOwn = workflow?.source === "added" && may(workflow.shared ? "models:write" : "workflows:write");
  const remove = () => {
    navigate("/workflows");
    withUndo(t("removed", { name }), async () => {
      await data(api.DELETE("/api/v1/workflows/{name}", { params: { path: { name }, query: workflow?.shared ? { shared: true } : {} } }));
      refresh("workflows");
    });
  };
  return (
    <Page title={workflow?.title || name} call={{ method: "GET", path: `/api/v1/workflows/${name}`, cli: `imagemill workflows show ${name}` }}
      actions={<>
        <ButtonLink kind="primary" icon="play" href={`/?workflow=${encodeURIComponent(name)}`}>{t("run")}</ButtonLink>
        {isOwn && <Button kind="quiet" icon="delete" onClick={remove}>{t("remove")}</Button>}
      </>}>
      <p><Link href="/workflows">{t("back")}</Link> <code>{name}</code></p>
      {found.error && <ProblemNotice error={found.error} onRetry={() => void found.refetch()} />}
      {found.isPending && <Waiting what={name} />}
      {workflow && (
        <Tabs label={name} selected={tab} onSelect={setTab} tabs={[{ key: "overview", label: t("overview") }, { key: "edit", label: t("edit") }, { key: "versions", label: t("versions") }, { key: "manifest", label: t("manifest") }]}>
          {tab === "edit" ? <Edit workflow={workflow} isOwn={isOwn} /> : tab === "versions" ? <Versions name={name} /> : tab === "manifest" ? <Manifest workflow={workflow} /> : <Overview workflow={workflow} />}
        </Tabs>
      )}
    </Page>
  );
}

function Overview({ workflow }: { workflow: Info }) {
  const t = useMessages(messages);
  const types = useMessages(inputMessages);
  return (
    <>
      {workflow.description && <p>{workflow.description}</p>}
      <div class="table-scroll">
        <table class="workflows-inputs">
          <caption class="visually-hidden">{t("inputsTitle")}</caption>
          <thead><tr><th scope="col">{t("name")}</th><th scope="col">{t("type")}</th><th scope="col">{t("value")}</th><th scope="col">{t("limits")}</th><th scope="col">{t("help")}</th></tr></thead>
          <tbody>
            {workflow.inputs.map((input) => (
              <tr key={input.name}>
                <th scope="row"><code>{input.name}</code></th>
                <td>{types(`type_${input.type}`)}</td>
                <td class="workflows-value">{input.required ? t("required") : shown(input.default)}</td>
                <td>{limits(input)}</td>
                <td>{input.help}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <CopyText label={t("call")} text={curl(runCall(workflow))} />
    </>
  );
}

function shown(value: unknown): string {
  return value === undefined || value === null ? "" : typeof value === "object" ? JSON.stringify(value) : String(value);
}

function limits({ minimum, maximum, choices }: Info["inputs"][number]): string {
  if (choices?.length) return choices.slice(0, 4).join(", ") + (choices.length > 4 ? ` … (${choices.length})` : "");
  const side = (value: number | null | undefined) => (value === null || value === undefined ? "" : number(value));
  return side(minimum) || side(maximum) ? `${side(minimum)} – ${side(maximum)}` : "";
}

function Edit({ workflow, isOwn }: { workflow: Info; isOwn: boolean }) {
  const t = useMessages(messages);
  if (!isOwn) return <><Notice>{t("builtInText")}</Notice><GraphImport of={undefined} /></>;
  return <GraphImport key={workflow.version} of={{ name: workflow.name, manifest: workflow.manifest }} />;
}

function Versions({ name }: { name: string }) {
  const t = useMessages(messages);
  const found = useQuery({ queryKey: ["workflows", name, "versions"], queryFn: ({ signal }) => data(api.GET("/api/v1/workflows/{name}/versions", { params: { path: { name } }, signal })) });
  const items = found.data?.items ?? [];
  const [newest, second] = [items[0]?.version ?? 0, items[1]?.version ?? 0];
  const [from, setFrom] = useUrlState("from");
  const [to, setTo] = useUrlState("to");
  if (found.error) return <ProblemNotice error={found.error} onRetry={() => void found.refetch()} />;
  if (!found.data) return <Waiting what={t("versions")} />;
  const options = items.map((each) => ({ value: String(each.version), label: `${t("version", { version: String(each.version) })}${each.createdAt ? ` · ${t("since", { when: ago(each.createdAt) })}` : ""}` }));
  if (items.length < 2) return <p class="soft">{t("oneVersion")}</p>;
  return (
    <>
      <div class="workflows-compare">
        <Select label={t("from")} value={from || String(second)} onChange={setFrom} options={options} />
        <Select label={t("to")} value={to || String(newest)} onChange={setTo} options={options} />
      </div>
      <Difference name={name} from={Number(from || second)} to={Number(to || newest)} />
    </>
  );
}

function Difference({ name, from, to }: { name: string; from: number; to: number }) {
  const t = useMessages(messages);
  const found = useQuery({ queryKey: ["workflows", name, "diff", from, to], queryFn: ({ signal }) => data(api.GET("/api/v1/workflows/{name}/diff", { params: { path: { name }, query: { from, to } }, signal })) });
  if (found.error) return <ProblemNotice error={found.error} onRetry={() => void found.refetch()} />;
  if (!found.data) return <Waiting what={t("compare", { from: String(from), to: String(to) })} />;
  if (!found.data.items.length) return <p class="soft">{t("noDifference")}</p>;
  return (
    <ul class="workflows-difference" aria-label={t("compare", { from: String(from), to: String(to) })}>
      {found.data.items.map((each) => (
        <li key={`${each.part} ${each.name}`}>
          <p><strong>{t(`part_${each.part}`)} <code>{each.name}</code></strong> <span class="soft">{t(each.before === null ? "added" : each.after === null ? "gone" : "changed")}</span></p>
          <div class="workflows-sides">
            {each.before !== null && <pre class="workflows-before" aria-label={t("before")} tabIndex={0}>{text(each.before)}</pre>}
            {each.after !== null && <pre class="workflows-after" aria-label={t("after")} tabIndex={0}>{text(each.after)}</pre>}
          </div>
        </li>
      ))}
    </ul>
  );
}

const text = (value: unknown) => (typeof value === "string" ? value : JSON.stringify(value, null, 2));

function Manifest({ workflow }: { workflow: Info }) {
  return <CopyText label={`${workflow.name}.toml`} text={workflow.manifest} />;
}
