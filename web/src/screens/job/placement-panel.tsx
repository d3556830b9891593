/** Why this node: the claims that were made, and how each node weighs a waiting job. */
import { useQuery } from "@tanstack/react-query";
import { type Schema, api, data } from "~/api/http";
import { duration, moment, number, useMessages } from "~/app/i18n";
import { ownerQuery } from "~/app/session";
import { CopyAs } from "~/parts/copy-as";
import { ProblemNotice, Waiting } from "~/parts/page";
import { messages } from "./messages";

type NodePlacement = Schema<"NodePlacement">;

export function PlacementPanel({ id }: { id: string }) {
  const t = useMessages(messages);
  const found = useQuery({
    queryKey: ["job", id, "placement"],
    queryFn: ({ signal }) => data(api.GET("/api/v1/jobs/{job_id}/placement", { params: { path: { job_id: id }, query: ownerQuery() }, signal })),
  });
  if (found.error) return <ProblemNotice error={found.error} onRetry={() => void found.refetch()} />;
  if (!found.data) return <Waiting what={t("placement")} />;
  const { claims, nodes } = found.data;
  return (
    <div class="job-placement">
      {claims.length > 0 && (
        <ul class="job-claims">
          {claims.map((claim) => (
            <li key={claim.attempt}><strong>{claim.node}</strong> {t("claimed", { number: claim.attempt, reason: claim.reason })} <span class="soft small">{moment(claim.at)}</span></li>
          ))}
        </ul>
      )}
      {!claims.length && !nodes.length && <p class="soft">{t("noPlacement")}</p>}
      {nodes.length > 0 && (
        <>
          <p class="soft small">{t("scoreHint")}</p>
          <ul class="job-scores">{nodes.map((node) => <Score key={node.node} node={node} />)}</ul>
        </>
      )}
      <CopyAs call={{ method: "GET", path: `/api/v1/jobs/${id}/placement`, cli: `imagemill jobs placement ${id}` }} />
    </div>
  );
}

function Score({ node }: { node: NodePlacement }) {
  const t = useMessages(messages);
  const state = node.takes ? "takes" : node.fits ? "later" : "cannot";
  return (
    <li class={`job-score job-score-${state}`}>
      <strong>{node.node}</strong>
      <span class="job-score-state">{t(state)}</span>
      {node.score !== null && (
        <span class="job-score-bar" role="img" aria-label={t("score", { score: number(node.score, { maximumFractionDigits: 2 }) })}>
          <span style={{ width: `${Math.round(node.score * 100)}%` }} />
        </span>
      )}
      <span class="small">
        {node.score !== null && <>{t("score", { score: number(node.score, { maximumFractionDigits: 2 }) })}{" · "}</>}
        {node.fits && <>{node.loaded ? t("isLoaded") : t("loadsIn", { time: duration(node.loadS) })}{" · "}</>}
        <span class="soft">{node.reason}</span>
      </span>
    </li>
  );
}
