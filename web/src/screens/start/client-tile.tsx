/** For those who test a client: the address, a token, a snippet for each protocol, faults, and a file for a CI. */
import { useState } from "preact/hooks";
import { useMessages } from "~/app/i18n";
import { may, useSession } from "~/app/session";
import { ButtonLink } from "~/parts/button";
import { CopyText } from "~/parts/copy-as";
import { Tabs } from "~/parts/tabs";
import { messages } from "./messages";
import { CI, SNIPPETS } from "./snippets";

export function ClientTile() {
  const t = useMessages(messages);
  const { me } = useSession();
  const [selected, setSelected] = useState("curl");
  const snippet = SNIPPETS.find((each) => each.key === selected) ?? SNIPPETS[0];
  const base = location.origin;
  return (
    <section class="card start-tile" aria-labelledby="start-client">
      <h2 id="start-client">{t("clientTitle")}</h2>
      <p>{t("clientText")}</p>
      <dl class="start-facts">
        <dt>{t("base")}</dt>
        <dd><code>{base}</code></dd>
        <dt>{t("token")}</dt>
        <dd>{me?.open ? t("tokenOpen") : t("tokenKey")}</dd>
      </dl>
      <Tabs label={t("snippets")} tabs={[...SNIPPETS.map(({ key, label }) => ({ key, label })), { key: "ci", label: t("ci") }]} selected={selected} onSelect={setSelected}>
        {selected === "ci" ? <CopyText label=".github/workflows/tests.yml" text={CI} /> : snippet && <CopyText label={snippet.label} text={snippet.text(base)} />}
      </Tabs>
      {may("admin") && <div><ButtonLink href="/faults" icon="faults">{t("faults")}</ButtonLink></div>}
    </section>
  );
}
