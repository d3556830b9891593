/** The limits of an account, what is used of them, and those that an administrator sets. */
import { useQuery } from "@tanstack/react-query";
import { useState } from "preact/hooks";
import { api, data } from "~/api/http";
import { queries } from "~/api/queries";
import { number, useMessages } from "~/app/i18n";
import { may, useSession } from "~/app/session";
import { toast } from "~/app/toasts";
import { Button } from "~/parts/button";
import { CopyAs } from "~/parts/copy-as";
import { NumberInput } from "~/parts/field";
import { Notice, ProblemNotice, Waiting } from "~/parts/page";
import { messages } from "./messages";

const SET = ["requests", "jobs", "megapixels"] as const;

export function Limits({ owner }: { owner?: string }) {
  const t = useMessages(messages);
  const { me } = useSession();
  const name = owner ?? me?.owner ?? "";
  const key = ["people", "limits", name];
  const isAdmin = may("admin");
  const [draft, setDraft] = useState<Record<string, number | null>>({});
  const [problem, setProblem] = useState<unknown>(null);
  const found = useQuery({ queryKey: key, queryFn: ({ signal }) => data(isAdmin ? api.GET("/api/v1/limits/{owner}", { params: { path: { owner: name } }, signal }) : api.GET("/api/v1/limits", { signal })) });
  if (found.error) return <ProblemNotice error={found.error} onRetry={() => void found.refetch()} />;
  if (!found.data) return <Waiting what={t("limits")} />;
  const its = found.data;
  const used: Record<string, number> = { jobs: its.used.jobs, megapixels: its.used.megapixels };
  const unset = its.own;
  const limits = Object.fromEntries(Object.entries({ ...unset, ...draft }).filter(([, amount]) => amount !== null));
  const save = async (event: Event) => {
    event.preventDefault();
    setProblem(null);
    try {
      queries.setQueryData(key, await data(api.PUT("/api/v1/limits/{owner}", { params: { path: { owner: name } }, body: { limits } })));
      toast({ text: t("limitsSaved", { name, count: Object.keys(limits).length }), tone: "good" });
      setDraft({});
    } catch (error) {
      setProblem(error);
    }
  };
  const label = (kind: string) => ((SET as readonly string[]).includes(kind) ? t(`limit_${kind as (typeof SET)[number]}`) : kind);
  return (
    <>
      {!its.enforced && <Notice><p>{t("notEnforced")}</p></Notice>}
      <dl class="people-figures">
        {Object.entries(its.limits).map(([kind, amount]) => (
          <div key={kind}>
            <dt>{label(kind)}</dt>
            <dd>{kind in used && <>{number(used[kind] ?? 0)} <span class="soft">{t("of")}</span> </>}{amount === null ? t("unlimited") : number(amount)}</dd>
          </div>
        ))}
      </dl>
      {isAdmin && (
        <form class="card people-form" onSubmit={(event) => void save(event)}>
          <h2>{t("ownLimits")}</h2>
          <p class="soft">{t("ownLimitsHint")}</p>
          <div class="people-grid">
            {SET.map((kind) => (
              <NumberInput key={kind} label={label(kind)} min={0} step="any" value={kind in draft ? draft[kind] ?? null : unset[kind] ?? null} onInput={(amount) => setDraft({ ...draft, [kind]: amount })} />
            ))}
          </div>
          {problem !== null && <ProblemNotice error={problem} />}
          <div class="people-actions">
            <Button type="submit" kind="primary" disabled={!Object.keys(draft).length}>{t("save")}</Button>
            <CopyAs call={{ method: "PUT", path: `/api/v1/limits/${encodeURIComponent(name)}`, body: { limits }, cli: `imagemill limits set ${name} ${Object.entries(limits).map(([kind, amount]) => `${kind}=${amount}`).join(" ")}` }} />
          </div>
        </form>
      )}
    </>
  );
}
