/** An account that an administrator looks after: its role, its share, and whether it may do anything. */
import { useQuery } from "@tanstack/react-query";
import { useState } from "preact/hooks";
import { type Schema, api, data } from "~/api/http";
import { queries } from "~/api/queries";
import { moment, useMessages } from "~/app/i18n";
import { showOwner } from "~/app/session";
import { toast, withUndo } from "~/app/toasts";
import { Button, ButtonLink } from "~/parts/button";
import { CopyAs } from "~/parts/copy-as";
import { NumberInput } from "~/parts/field";
import { ProblemNotice, Waiting } from "~/parts/page";
import { RoleSelect } from "./accounts";
import { messages } from "./messages";

type Change = Schema<"OwnerChange">;

export function OwnerCard({ owner }: { owner: string }) {
  const t = useMessages(messages);
  const path = { owner };
  const key = ["people", "owner", owner];
  const found = useQuery({ queryKey: key, queryFn: ({ signal }) => data(api.GET("/api/v1/owners/{owner}", { params: { path }, signal })) });
  const [weight, setWeight] = useState<number | null>(null);
  if (found.error) return <ProblemNotice error={found.error} onRetry={() => void found.refetch()} />;
  if (!found.data) return <Waiting what={owner} />;
  const its = found.data;
  const change = async (body: Change) => {
    queries.setQueryData(key, await data(api.PATCH("/api/v1/owners/{owner}", { params: { path }, body })));
    void queries.invalidateQueries({ queryKey: ["people", "owners"] });
  };
  const changeNow = (body: Change, text: string) => {
    change(body).then(() => toast({ text, tone: "good" }), (error: Error) => toast({ text: error.message, tone: "bad" }));
  };
  const isDisabled = its.disabledAt !== null;
  return (
    <section class="card people-owner" aria-label={owner}>
      <div class="people-owner-head">
        <span class={`status ${isDisabled ? "status-failed" : "status-succeeded"}`}>{isDisabled ? t("disabled") : t("active")}</span>
        <span class="soft">{its.name} {its.createdAt && `${t("created")}: ${moment(its.createdAt)}`}</span>
      </div>
      <div class="people-grid">
        <RoleSelect role={its.role} blocked={its.parent !== null} onChange={(role) => changeNow({ role }, t("roleChanged", { name: owner, role: t(role) }))} />
        <form class="people-inline" onSubmit={(event) => {
          event.preventDefault();
          if (weight !== null) changeNow({ weight }, t("weightChanged", { name: owner, weight }));
        }}>
          <NumberInput label={t("weight")} hint={t("weightHint")} min={0.1} max={1000} step="any" value={weight ?? its.weight} onInput={setWeight} />
          <Button type="submit" disabled={weight === null || weight === its.weight}>{t("save")}</Button>
        </form>
      </div>
      <div class="people-actions">
        <ButtonLink href="/queue" icon="queue"><span onClick={() => showOwner(owner)}>{t("itsJobs")}</span></ButtonLink>
        {isDisabled
          ? <Button icon="play" onClick={() => changeNow({ disabled: false }, t("enabledNow", { name: owner }))}>{t("enable")}</Button>
          : <Button kind="danger" icon="pause" onClick={() => withUndo(t("disabledNow", { name: owner }), () => change({ disabled: true }))}>{t("disable")}</Button>}
        <CopyAs call={{ method: "PATCH", path: `/api/v1/owners/${encodeURIComponent(owner)}`, body: { disabled: !isDisabled }, cli: `imagemill users ${isDisabled ? "enable" : "disable"} ${owner}` }} />
      </div>
    </section>
  );
}
