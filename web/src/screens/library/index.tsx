/** The model library: its cells as a heat map, what fills them, and each cell beside the map. */
import { useEffect, useState } from "preact/hooks";
import { useLocation, useParams } from "wouter-preact";
import { useMessages } from "~/app/i18n";
import { messages as names } from "~/app/messages";
import { may } from "~/app/session";
import { usePreference, useUrlState } from "~/app/state";
import { Button } from "~/parts/button";
import { Checkbox, Select } from "~/parts/field";
import { Notice, Page, ProblemNotice, Waiting } from "~/parts/page";
import { useProductOwner } from "~/parts/product-owner";
import { CellPanel } from "./cell-panel";
import { type Cell, type Filter, PARAMETERS, type Parameter, VALUES, gridText, isChosen, useCells, useFilter } from "./cells";
import { FillDialog } from "./fill";
import { HeatMap } from "./heat-map";
import { messages } from "./messages";
import "./style.css";

export default function Library() {
  const t = useMessages(messages);
  const n = useMessages(names);
  const found = useCells();
  const { filter, choose } = useFilter();
  const { other } = useProductOwner();
  const [opened, setOpened] = useUrlState("cell");
  const [hasPictures, setPictures] = usePreference("library.pictures", false);
  const [isFilling, setFilling] = useState(false);
  const cells = found.data?.cells ?? [];
  const chosen = cells.filter((cell) => isChosen(cell, filter));
  const missing = chosen.filter((cell) => cell.state === "missing").length;
  const cell = cells.find((each) => each.templateId === opened);
  const isAllowed = may("jobs:write") && !other;
  useLinkedModel(cells);
  return (
    <Page title={n("library")} isFull call={{ method: "GET", path: `/api/v1/library/grid${queryOf(filter)}`, cli: `imagemill library grid${gridText(filter)}` }}
      actions={isAllowed && <Button kind="primary" icon="make" blocked={found.data && !missing ? t("nothingMissing") : undefined} onClick={() => setFilling(true)}>{t("fill")}</Button>}>
      {other && <Notice>{t("readsOther", { owner: other })}</Notice>}
      <div class="library-filters">
        {PARAMETERS.map((name) => (
          <Select key={name} label={t(name)} value={filter[name]} onChange={choose[name]} options={[{ value: "", label: t("all") }, ...VALUES[name].map((value) => ({ value, label: nameOf(t, value) }))]} />
        ))}
      </div>
      {found.error && <ProblemNotice error={found.error} onRetry={() => void found.refetch()} />}
      {found.isPending && <Waiting what={t("cells")} />}
      {cells.length > 0 && (
        <>
          <div class="library-summary">
            <Summary cells={chosen} />
            <Checkbox label={t("pictures")} isChecked={hasPictures} onChange={setPictures} />
          </div>
          <HeatMap cells={chosen} hasPictures={hasPictures} onOpen={setOpened} />
          <Legend />
        </>
      )}
      {cell && <CellPanel key={cell.templateId} cell={cell} isAllowed={isAllowed} onClose={() => setOpened("")} />}
      {isFilling && <FillDialog filter={filter} onClose={() => setFilling(false)} />}
    </Page>
  );
}

type Translated = ReturnType<typeof useMessages<(typeof messages)["en"]>>;

/** Return the reader's name of a value; ages are the same in all languages. */
export function nameOf(t: Translated, value: string): string {
  return value in messages.en ? t(value as "male") : value;
}

function queryOf(filter: Filter): string {
  const given = PARAMETERS.filter((name: Parameter) => filter[name]).map((name) => [name, filter[name]]);
  return given.length ? `?${new URLSearchParams(given)}` : "";
}

function Summary({ cells }: { cells: Cell[] }) {
  const t = useMessages(messages);
  const count = (state: Cell["state"]) => cells.filter((cell) => cell.state === state).length;
  const [made, underWay, missing] = [count("present"), count("under_way"), count("missing")];
  const share = (part: number) => ({ width: `${cells.length ? (100 * part) / cells.length : 0}%` });
  return (
    <div class="library-counts">
      <p role="status">
        <strong>{t("made", { made, total: cells.length })}</strong>
        {underWay > 0 && ` · ${t("underWay", { count: underWay })}`}
        {missing > 0 && ` · ${t("missing", { count: missing })}`}
      </p>
      <div class="library-bar" aria-hidden="true">
        <span class="library-bar-made" style={share(made)} />
        <span class="library-bar-busy" style={share(underWay)} />
      </div>
    </div>
  );
}

function Legend() {
  const t = useMessages(messages);
  return (
    <p class="library-legend small soft">
      <span><i class="library-key library-missing" />{t("stateMissing")}</span>
      <span><i class="library-key library-busy" />{t("stateUnderWay")}</span>
      {[1, 2, 3].map((version) => <span key={version}><i class={`library-key library-v${version}`} />{t("present", { version: version === 3 ? "3+" : version })}</span>)}
      <span class="library-keys">{t("hint")}</span>
    </p>
  );
}

/** Turn the address of one model into the state of the screen. */
function useLinkedModel(cells: Cell[]) {
  const { id } = useParams<{ id?: string }>();
  const [, navigate] = useLocation();
  const found = id ? cells.find((cell) => cell.modelId === id || cell.templateId === id) : undefined;
  useEffect(() => {
    if (found) navigate(`/library?cell=${found.templateId}`, { replace: true });
  }, [found, navigate]);
}
