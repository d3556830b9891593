/** First steps: three ways to begin, and what is still to do. */
import { useMessages } from "~/app/i18n";
import { messages as names } from "~/app/messages";
import { Checklist } from "~/parts/checklist";
import { Page } from "~/parts/page";
import { ClientTile } from "./client-tile";
import { ComfyTile } from "./comfy-tile";
import { messages } from "./messages";
import { TryTile } from "./try-tile";
import "./style.css";

export default function FirstSteps() {
  const t = useMessages(messages);
  const n = useMessages(names);
  return (
    <Page title={n("start")} call={{ method: "GET", path: "/api/v1/checklist", cli: "imagemill checklist" }}>
      <p class="start-intro">{t("intro")}</p>
      <div class="start-tiles">
        <TryTile />
        <ComfyTile />
        <ClientTile />
      </div>
      <Checklist />
    </Page>
  );
}
