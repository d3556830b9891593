/** The settings that differ from their defaults, and where each is from. */
import { useQuery } from "@tanstack/react-query";
import { Problem, api, data } from "~/api/http";
import { useMessages } from "~/app/i18n";
import { may } from "~/app/session";
import { CopyAs } from "~/parts/copy-as";
import { ProblemNotice, Waiting } from "~/parts/page";
import { messages } from "./messages";

export function SettingsInUse() {
  const t = useMessages(messages);
  const found = useQuery({ queryKey: ["settings"], queryFn: ({ signal }) => data(api.GET("/api/v1/settings", { signal })), enabled: may("admin") });
  if (!may("admin") || (found.error instanceof Problem && found.error.status === 403)) return null;
  return (
    <section class="watch-section">
      <header class="watch-head">
        <h2>{t("settings")}</h2>
        <CopyAs call={{ method: "GET", path: "/api/v1/settings", cli: "imagemill settings" }} />
      </header>
      {found.error && <ProblemNotice error={found.error} onRetry={() => void found.refetch()} />}
      {found.isPending && <Waiting what={t("settings")} />}
      {found.data && <p class="soft small">{t("settingsDiffer", { count: found.data.items.length, total: found.data.total })}</p>}
      {found.data && found.data.items.length > 0 && (
        <div class="table-scroll" tabIndex={0} role="region" aria-label={t("settings")}>
          <table>
            <thead><tr><th scope="col">{t("setting")}</th><th scope="col">{t("value")}</th><th scope="col">{t("default")}</th><th scope="col">{t("source")}</th></tr></thead>
            <tbody>
              {found.data.items.map((each) => (
                <tr key={each.name}><td title={each.description}><code class="watch-setting">{each.name}</code></td><td><code>{each.value}</code></td><td class="soft"><code>{each.default}</code></td><td>{each.source}</td></tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}
