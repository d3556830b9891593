/** The API keys of an account: made with chosen scopes, shown once, revoked. */
import { useQuery } from "@tanstack/react-query";
import { useState } from "preact/hooks";
import { type Schema, api, data } from "~/api/http";
import { queries } from "~/api/queries";
import { ago, moment, useMessages } from "~/app/i18n";
import { may, useSession } from "~/app/session";
import { useDraft } from "~/app/state";
import { toast } from "~/app/toasts";
import { Button } from "~/parts/button";
import { ConfirmButton } from "~/parts/confirm";
import { CopyAs, CopyText } from "~/parts/copy-as";
import { Dialog } from "~/parts/dialog";
import { Checkbox, NumberInput, TextInput } from "~/parts/field";
import { Empty, Notice, ProblemNotice, Waiting } from "~/parts/page";
import { Table } from "~/parts/table";
import { messages } from "./messages";

type Key = Schema<"KeyInfo">;
type Scope = Key["scopes"][number];

/** ``owner`` undefined means the caller's own account. */
export function Keys({ owner }: { owner?: string }) {
  const t = useMessages(messages);
  const [isMaking, setMaking] = useState(false);
  const found = useQuery({
    queryKey: ["people", "keys", owner ?? ""],
    queryFn: ({ signal }) => data(owner === undefined ? api.GET("/api/v1/keys", { signal }) : api.GET("/api/v1/owners/{owner}/keys", { params: { path: { owner } }, signal })),
  });
  const keys = found.data?.items ?? [];
  const place = owner === undefined ? "/api/v1/keys" : `/api/v1/owners/${encodeURIComponent(owner)}/keys`;
  const revoke = async (key: Key) => {
    await data(owner === undefined ? api.DELETE("/api/v1/keys/{key}", { params: { path: { key: key.id } } }) : api.DELETE("/api/v1/owners/{owner}/keys/{key}", { params: { path: { owner, key: key.id } } }));
    toast({ text: t("keyRevoked", { key: key.id }), tone: "good" });
    await found.refetch();
  };
  return (
    <>
      <div class="people-bar">
        <p class="soft">{t("keysHint")}</p>
        {may("account:write") && <Button kind="primary" icon="add" onClick={() => setMaking(true)}>{t("makeKey")}</Button>}
      </div>
      {found.error && <ProblemNotice error={found.error} onRetry={() => void found.refetch()} />}
      {found.isPending && <Waiting what={t("keys")} />}
      {found.data && !keys.length && <Empty icon="people" title={t("noKeys")} />}
      {keys.length > 0 && (
        <Table label={t("keys")} head={[t("key"), t("name"), t("scopes"), t("lastUsed"), t("state"), t("actions")]}>
          {keys.map((key) => (
            <tr key={key.id}>
              <td><code>im_{key.id}_…</code></td>
              <td>{key.name}{key.isService && <span class="people-mark">{t("service")}</span>}</td>
              <td class="people-scopes">{key.scopes.join(", ")}</td>
              <td title={key.usedAt ? moment(key.usedAt) : undefined}>{key.usedAt ? ago(key.usedAt) : t("never")}</td>
              <td><KeyState of={key} /></td>
              <td>{isLive(key) && may("account:write") && <ConfirmButton label={t("revoke")} of={key.name || key.id} question={t("revokeQuestion", { key: key.id })} onConfirm={() => revoke(key)} call={{ method: "DELETE", path: `${place}/${key.id}`, cli: `imagemill keys revoke ${key.id}` }} />}</td>
            </tr>
          ))}
        </Table>
      )}
      <MakeKey isOpen={isMaking} onClose={() => setMaking(false)} owner={owner} />
    </>
  );
}

const isLive = (key: Key) => !key.revokedAt && !(key.expiresAt && new Date(key.expiresAt) <= new Date());

function KeyState({ of: key }: { of: Key }) {
  const t = useMessages(messages);
  if (key.revokedAt) return <span class="status status-canceled">{t("revoked")}</span>;
  if (!isLive(key)) return <span class="status status-expired">{t("expired")}</span>;
  return <span class="status status-succeeded">{key.expiresAt ? t("until", { time: moment(key.expiresAt) }) : t("valid")}</span>;
}

const NEW = { name: "", days: null as number | null, isService: false, isChosen: false, scopes: [] as Scope[] };

function MakeKey({ isOpen, onClose, owner }: { isOpen: boolean; onClose: () => void; owner?: string }) {
  const t = useMessages(messages);
  const { me } = useSession();
  const [draft, setDraft, clear] = useDraft(`people.key.${owner ?? ""}`, NEW);
  const [made, setMade] = useState("");
  const [problem, setProblem] = useState<unknown>(null);
  const [isBusy, setBusy] = useState(false);
  const body = { name: draft.name, isService: draft.isService, expiresInDays: draft.days, ...(draft.isChosen ? { scopes: draft.scopes } : {}) };
  const submit = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setProblem(null);
    try {
      const key = await data(owner === undefined ? api.POST("/api/v1/keys", { body }) : api.POST("/api/v1/owners/{owner}/keys", { params: { path: { owner } }, body }));
      setMade(key.key);
      clear();
      await queries.invalidateQueries({ queryKey: ["people", "keys"] });
    } catch (error) {
      setProblem(error);
    }
    setBusy(false);
  };
  const close = () => {
    setMade("");
    setProblem(null);
    onClose();
  };
  const toggle = (scope: Scope, isOn: boolean) => setDraft({ ...draft, scopes: isOn ? [...draft.scopes, scope] : draft.scopes.filter((each) => each !== scope) });
  if (made) {
    return (
      <Dialog title={t("keyMade")} isOpen={isOpen} onClose={close} actions={<Button kind="primary" onClick={close}>{t("keptIt")}</Button>}>
        <Notice tone="warn"><p>{t("shownOnce")}</p></Notice>
        <CopyText label={t("key")} text={made} />
      </Dialog>
    );
  }
  return (
    <Dialog title={t("makeKey")} isOpen={isOpen} onClose={close} isWide
      actions={
        <>
          <CopyAs call={{ method: "POST", path: owner === undefined ? "/api/v1/keys" : `/api/v1/owners/${encodeURIComponent(owner)}/keys`, body, cli: command(owner ?? me?.account ?? "", draft) }} />
          <Button type="submit" form="people-key" kind="primary" isBusy={isBusy}>{t("makeKey")}</Button>
        </>
      }>
      <form id="people-key" class="people-form" onSubmit={(event) => void submit(event)}>
        {problem !== null && <ProblemNotice error={problem} />}
        <TextInput label={t("keyName")} maxLength={200} value={draft.name} onInput={(name) => setDraft({ ...draft, name })} />
        <NumberInput label={t("days")} hint={t("daysHint")} min={0.01} max={3660} step="any" value={draft.days} onInput={(days) => setDraft({ ...draft, days })} />
        <Checkbox label={t("serviceKey")} isChecked={draft.isService} onChange={(isService) => setDraft({ ...draft, isService })} />
        <Checkbox label={t("allScopes")} isChecked={!draft.isChosen} onChange={(isAll) => setDraft({ ...draft, isChosen: !isAll })} />
        {draft.isChosen && (
          <fieldset class="people-scope-list">
            <legend>{t("scopes")}</legend>
            {(me?.scopes ?? []).map((scope) => <Checkbox key={scope} label={<code>{scope}</code>} isChecked={draft.scopes.includes(scope)} onChange={(isOn) => toggle(scope, isOn)} />)}
          </fieldset>
        )}
      </form>
    </Dialog>
  );
}

function command(owner: string, draft: typeof NEW): string {
  const parts = ["imagemill keys create", `--owner ${owner}`];
  if (draft.name) parts.push(`--name '${draft.name.replaceAll("'", `'\\''`)}'`);
  if (draft.isService) parts.push("--service");
  if (draft.days !== null) parts.push(`--expires-days ${draft.days}`);
  if (draft.isChosen) parts.push(...draft.scopes.map((scope) => `--scope ${scope}`));
  return parts.join(" ");
}
