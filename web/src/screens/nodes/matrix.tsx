/** Which node has which model, and which it has loaded. */
import { useMemo } from "preact/hooks";
import { Link } from "wouter-preact";
import type { Schema } from "~/api/http";
import { bytes, useMessages } from "~/app/i18n";
import { useUrlState } from "~/app/state";
import { Select, TextInput } from "~/parts/field";
import { Empty } from "~/parts/page";
import { messages } from "./messages";

type Residency = Schema<"Residency">;
const MOST_ROWS = 300;
const MARKS = { loaded: "●", loading: "◐", installed: "○", missing: "–", unknown: "?" } as const;

export function ModelMatrix({ residency }: { residency: Residency }) {
  const t = useMessages(messages);
  const [kind, setKind] = useUrlState("type", "checkpoint");
  const [sought, setSought] = useUrlState("q");
  const [lacking, setLacking] = useUrlState("missing");
  const kinds = useMemo(() => [...new Set(residency.models.map((model) => model.type))].sort(), [residency]);
  const found = residency.models.filter(
    (model) =>
      (kind === "all" || model.type === kind) &&
      `${model.name} ${model.title ?? ""} ${model.air}`.toLowerCase().includes(sought.toLowerCase()) &&
      (lacking === "" || Object.values(model.nodes).includes("missing")),
  );
  const { nodes } = residency;
  return (
    <>
      <div class="nodes-filter">
        <TextInput label={t("seek")} value={sought} onInput={setSought} />
        <Select label={t("type")} value={kind} onChange={setKind} options={[{ value: "all", label: t("allTypes") }, ...[...new Set(["checkpoint", ...kinds])].map((value) => ({ value, label: value }))]} />
        <Select label={t("show")} value={lacking} onChange={setLacking} options={[{ value: "", label: t("everyModel") }, { value: "1", label: t("missingSomewhere") }]} />
      </div>
      <p class="small soft">{t("modelsShown", { count: found.length })} {(["loaded", "loading", "installed", "missing"] as const).map((state) => <span key={state} class="nodes-key"><span class={`nodes-mark nodes-mark-${state}`} aria-hidden="true">{MARKS[state]}</span> {t(state)}</span>)}</p>
      {!found.length && <Empty icon="models" title={t("noModels")} />}
      {found.length > 0 && (
        <div class="table-scroll nodes-matrix" tabIndex={0} role="region" aria-label={t("matrix")}>
          <table>
            <thead><tr><th scope="col">{t("model")}</th><th scope="col">{t("size")}</th>{nodes.map((node) => <th key={node.name} scope="col">{node.name}</th>)}</tr></thead>
            <tbody>
              {found.slice(0, MOST_ROWS).map((model) => (
                <tr key={`${model.air}${model.name}`}>
                  <th scope="row"><Link href={`/models/${encodeURIComponent(model.air)}`}>{model.title ?? model.name}</Link> <span class="soft small">{model.family}{kind === "all" ? ` · ${model.type}` : ""}</span></th>
                  <td class="small">{model.size === null ? "" : bytes(model.size)}</td>
                  {nodes.map((node) => {
                    const state = model.nodes[node.name] ?? "unknown";
                    return <td key={node.name}><span class={`nodes-mark nodes-mark-${state}`} role="img" aria-label={t(state)} title={t(state)}>{MARKS[state]}</span></td>;
                  })}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </>
  );
}
