/** The accounts of the installation and who signs in to them. */
import { useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "preact/hooks";
import { Link } from "wouter-preact";
import { Problem, type Schema, api, data } from "~/api/http";
import { queries } from "~/api/queries";
import { ago, useMessages } from "~/app/i18n";
import { useDraft, useUrlState } from "~/app/state";
import { toast } from "~/app/toasts";
import { Button } from "~/parts/button";
import { CopyAs } from "~/parts/copy-as";
import { Dialog } from "~/parts/dialog";
import { Select, TextInput } from "~/parts/field";
import { Empty, ProblemNotice, Waiting } from "~/parts/page";
import { Table } from "~/parts/table";
import { messages } from "./messages";

export const ROLES = ["user", "viewer", "operator", "admin"] as const;
export type Role = Schema<"OwnerInfo">["role"];
const PAGE = 500;

export function Accounts() {
  const t = useMessages(messages);
  const [word, setWord] = useUrlState("q");
  const [isAdding, setAdding] = useState(false);
  const found = useQuery({ queryKey: ["people", "owners"], queryFn: ({ signal }) => data(api.GET("/api/v1/owners", { params: { query: { limit: PAGE } }, signal })) });
  const users = useQuery({ queryKey: ["people", "users"], queryFn: ({ signal }) => data(api.GET("/api/v1/users", { params: { query: { limit: PAGE } }, signal })) });
  const emails = useMemo(() => new Map(users.data?.items.map((user) => [user.owner, user.email])), [users.data]);
  const like = word.trim().toLowerCase();
  const shown = (found.data?.items ?? []).filter((owner) => [owner.id, owner.name ?? "", emails.get(owner.id) ?? ""].some((text) => text.toLowerCase().includes(like)));
  return (
    <>
      <div class="people-bar">
        <TextInput label={t("find")} isLabelHidden type="search" placeholder={t("find")} value={word} onInput={setWord} />
        <Button kind="primary" icon="add" onClick={() => setAdding(true)}>{t("addAccount")}</Button>
      </div>
      {found.error && <ProblemNotice error={found.error} onRetry={() => void found.refetch()} />}
      {found.isPending && <Waiting what={t("accounts")} />}
      {found.data && !shown.length && <Empty icon="people" title={t("noAccounts")} />}
      {shown.length > 0 && (
        <Table label={t("accounts")} head={[t("account"), t("name"), t("email"), t("role"), t("created"), t("state")]}>
          {shown.map((owner) => (
            <tr key={owner.id}>
              <td><Link href={`/people/${encodeURIComponent(owner.id)}`}>{owner.id}</Link></td>
              <td>{owner.name}</td>
              <td>{emails.get(owner.id)}</td>
              <td>{t(owner.role)}</td>
              <td>{owner.createdAt && ago(owner.createdAt)}</td>
              <td><span class={`status ${owner.disabledAt ? "status-failed" : "status-succeeded"}`}>{owner.disabledAt ? t("disabled") : t("active")}</span></td>
            </tr>
          ))}
        </Table>
      )}
      {found.data?.next && <p class="soft small">{t("firstOnly", { count: PAGE })}</p>}
      <AddAccount isOpen={isAdding} onClose={() => setAdding(false)} />
    </>
  );
}

const NEW = { id: "", name: "", email: "", role: "user" as Role };

function AddAccount({ isOpen, onClose }: { isOpen: boolean; onClose: () => void }) {
  const t = useMessages(messages);
  const [draft, setDraft, clear] = useDraft("people.account", NEW);
  const [password, setPassword] = useState("");
  const [problem, setProblem] = useState<unknown>(null);
  const [isBusy, setBusy] = useState(false);
  const isUser = draft.email !== "";
  const body = { id: draft.id, name: draft.name, role: draft.role };
  const errors = problem instanceof Problem ? problem.errors : {};
  const submit = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    setProblem(null);
    try {
      const made = isUser
        ? await data(api.POST("/api/v1/users", { body: { email: draft.email, password, role: draft.role, owner: draft.id || null } }))
        : await data(api.POST("/api/v1/owners", { body }));
      toast({ text: t("accountAdded", { name: made.id }), tone: "good" });
      await queries.invalidateQueries({ queryKey: ["people"] });
      clear();
      setPassword("");
      onClose();
    } catch (error) {
      setProblem(error);
    }
    setBusy(false);
  };
  return (
    <Dialog title={t("addAccount")} isOpen={isOpen} onClose={onClose}
      actions={
        <>
          <CopyAs call={isUser ? { method: "POST", path: "/api/v1/users", body: { email: draft.email, password: "…", role: draft.role }, cli: `imagemill users create ${draft.email} --role ${draft.role}` } : { method: "POST", path: "/api/v1/owners", body, cli: `imagemill keys create --owner ${draft.id || "NAME"} --role ${draft.role}` }} />
          <Button type="submit" form="people-account" kind="primary" isBusy={isBusy}>{t("add")}</Button>
        </>
      }>
      <form id="people-account" class="people-form" onSubmit={(event) => void submit(event)}>
        {problem !== null && <ProblemNotice error={problem} />}
        <TextInput label={t("account")} hint={t("accountHint")} required={!isUser} maxLength={24} pattern="[a-z0-9]([a-z0-9\-]*[a-z0-9])?" value={draft.id} error={errors.id?.join("; ")} onInput={(id) => setDraft({ ...draft, id })} />
        {!isUser && <TextInput label={t("name")} maxLength={200} value={draft.name} onInput={(name) => setDraft({ ...draft, name })} />}
        <RoleSelect role={draft.role} onChange={(role) => setDraft({ ...draft, role })} />
        <TextInput label={t("email")} hint={t("emailHint")} type="email" value={draft.email} error={errors.email?.join("; ")} onInput={(email) => setDraft({ ...draft, email })} />
        {isUser && <TextInput label={t("password")} hint={t("passwordHint")} type="password" autocomplete="new-password" required minLength={10} value={password} error={errors.password?.join("; ")} onInput={setPassword} />}
      </form>
    </Dialog>
  );
}

export function RoleSelect({ role, onChange, blocked }: { role: Role; onChange: (role: Role) => void; blocked?: boolean }) {
  const t = useMessages(messages);
  const hints = { user: t("userHint"), viewer: t("viewerHint"), operator: t("operatorHint"), admin: t("adminHint") };
  return <Select label={t("role")} hint={hints[role]} value={role} disabled={blocked} onChange={(value) => onChange(value as Role)} options={ROLES.map((value) => ({ value, label: t(value) }))} />;
}
