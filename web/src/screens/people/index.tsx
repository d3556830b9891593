/** People and money: accounts, keys, limits, credits, sessions, prices and the audit log. */
import { useParams } from "wouter-preact";
import { useMessages } from "~/app/i18n";
import { messages as names } from "~/app/messages";
import { may, useSession } from "~/app/session";
import { useUrlState } from "~/app/state";
import { ButtonLink } from "~/parts/button";
import { Page } from "~/parts/page";
import { type Tab, Tabs } from "~/parts/tabs";
import { Accounts } from "./accounts";
import { AuditLog } from "./audit-log";
import { Keys } from "./keys";
import { Limits } from "./limits";
import { messages } from "./messages";
import { Money } from "./money";
import { OwnerCard } from "./owner-card";
import { Prices } from "./prices";
import { Sessions } from "./sessions";
import "./style.css";

const ADMIN_ONLY = ["accounts", "audit"];
const OF_OWNER = ["keys", "money", "limits", "sessions"] as const;

export default function People() {
  const t = useMessages(messages);
  const n = useMessages(names);
  const { me } = useSession();
  const { owner } = useParams<{ owner?: string }>();
  const mine = me?.account ?? "";
  const other = owner !== undefined && decodeURIComponent(owner) !== mine ? decodeURIComponent(owner) : undefined;
  const isAdmin = may("admin");
  const keys = other !== undefined ? [...OF_OWNER] : (["accounts", ...OF_OWNER, "prices", "audit"] as const).filter((key) => isAdmin || !ADMIN_ONLY.includes(key));
  const tabs: Tab[] = keys.map((key) => ({ key, label: t(key) }));
  const first = keys[0] ?? "keys";
  const [tab, setTab] = useUrlState("tab", first);
  const shown = keys.find((key) => key === tab) ?? first;
  return (
    <Page title={other ?? n("people")} actions={other && <ButtonLink href="/people" kind="quiet" icon="left">{t("accounts")}</ButtonLink>}
      call={other ? { method: "GET", path: `/api/v1/owners/${encodeURIComponent(other)}` } : { method: "GET", path: "/api/v1/auth/me" }}>
      {other !== undefined && isAdmin && <OwnerCard owner={other} />}
      <Tabs label={other ?? n("people")} tabs={tabs} selected={shown} onSelect={setTab}>
        <div class="people-panel" key={`${shown} ${other}`}>
          {shown === "accounts" && <Accounts />}
          {shown === "keys" && <Keys owner={other} />}
          {shown === "money" && <Money owner={other} />}
          {shown === "limits" && <Limits owner={other} />}
          {shown === "sessions" && <Sessions owner={other} />}
          {shown === "prices" && <Prices />}
          {shown === "audit" && <AuditLog />}
        </div>
      </Tabs>
    </Page>
  );
}
