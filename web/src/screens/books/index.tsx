/** Books: those in the making, those of the catalogue, and one of them with its pages. */
import { useParams } from "wouter-preact";
import { useMessages } from "~/app/i18n";
import { messages as names } from "~/app/messages";
import { useUrlState } from "~/app/state";
import { Page } from "~/parts/page";
import { Tabs } from "~/parts/tabs";
import { Catalogue } from "./catalogue";
import { Detail } from "./detail";
import { MadeBooks } from "./made-books";
import { messages } from "./messages";
import "./style.css";

export default function Books() {
  const { id } = useParams<{ id?: string }>();
  return id === undefined ? <Overview /> : <Detail key={id} id={decodeURIComponent(id)} />;
}

function Overview() {
  const t = useMessages(messages);
  const n = useMessages(names);
  const [tab, setTab] = useUrlState("tab", "made");
  const isCatalogue = tab === "catalogue";
  const [path, cli] = isCatalogue ? ["/api/v1/books", "imagemill books catalogue"] : ["/api/v1/personalizations", "imagemill books list"];
  return (
    <Page title={n("books")} call={{ method: "GET", path, cli }} actions={<a class="button button-plain" href="/books">{t("studio")}</a>}>
      <Tabs label={n("books")} tabs={[{ key: "made", label: t("made") }, { key: "catalogue", label: t("catalogue") }]} selected={isCatalogue ? "catalogue" : "made"} onSelect={setTab}>
        {isCatalogue ? <Catalogue /> : <MadeBooks />}
      </Tabs>
    </Page>
  );
}
