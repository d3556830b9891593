import { useMessages } from "~/app/i18n";
import { messages } from "~/app/messages";
import { Page } from "~/parts/page";

export default function Screen() {
  const t = useMessages(messages);
  return <Page title={t("models")}>{null}</Page>;
}
