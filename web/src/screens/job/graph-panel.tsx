/** The graph of a job: drawn, and as a table of the nodes that took longest. */
import { lazy, Suspense } from "preact/compat";
import type { Schema } from "~/api/http";
import { duration, useMessages } from "~/app/i18n";
import { Empty, Notice, Waiting } from "~/parts/page";
import { messages } from "./messages";

type Graph = Schema<"JobGraph">;
const GraphFlow = lazy(() => import("./graph-flow"));
const MOST_ROWS = 12;

export function GraphPanel({ graph }: { graph: Graph }) {
  const t = useMessages(messages);
  if (!graph.nodes.length) return <Empty icon="workflows" title={t("noGraph")} />;
  const timed = graph.nodes.filter((node) => node.ms !== null || node.cached).sort((one, other) => (other.ms ?? 0) - (one.ms ?? 0));
  return (
    <>
      {graph.source === "input" && <Notice>{t("graphOfInput")}</Notice>}
      <Suspense fallback={<Waiting what={t("graph")} />}><GraphFlow graph={graph} /></Suspense>
      {timed.length > 0 && (
        <div class="table-scroll">
          <table>
            <caption class="visually-hidden">{t("nodeTimes")}</caption>
            <thead><tr><th scope="col">{t("graphNode")}</th><th scope="col">{t("class")}</th><th scope="col">{t("time")}</th></tr></thead>
            <tbody>
              {timed.slice(0, MOST_ROWS).map((node) => (
                <tr key={node.id}><td>{node.title}</td><td><code>{node.classType}</code></td><td>{node.cached ? t("cached") : duration((node.ms ?? 0) / 1000)}</td></tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </>
  );
}
