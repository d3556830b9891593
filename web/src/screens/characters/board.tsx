/** One character: its sheet with the tags beside it, and the board of its pictures. */
import { useState } from "preact/hooks";
import { Link, useLocation } from "wouter-preact";
import { api, data } from "~/api/http";
import { queries, refresh } from "~/api/queries";
import { useMessages } from "~/app/i18n";
import { may } from "~/app/session";
import { useDraft, useUrlState } from "~/app/state";
import { toast } from "~/app/toasts";
import { Button } from "~/parts/button";
import { ConfirmButton } from "~/parts/confirm";
import { Icon } from "~/parts/icon";
import { Notice, Page, ProblemNotice, Waiting } from "~/parts/page";
import { useProductOwner } from "~/parts/product-owner";
import { Tabs } from "~/parts/tabs";
import { CellPanel } from "./cell-panel";
import { Drift } from "./drift";
import { FillGaps } from "./fill-gaps";
import { messages } from "./messages";
import { type Cell, EMOTIONS, EMPTY, type Kind, type Sheet, useCharacter } from "./pictures";
import { SheetEditor } from "./sheet-editor";
import { Tile, useCellName } from "./tile";

export function CharacterBoard({ id }: { id: string }) {
  const t = useMessages(messages);
  const state = useCharacter(id);
  const { other } = useProductOwner();
  const [, navigate] = useLocation();
  const [draft, setDraft] = useDraft<Sheet | null>(`character.${id}`, null);
  const [tab, setTab] = useUrlState("tab", "pictures");
  const [opened, setOpened] = useUrlState("cell");
  const stored = state.sheet ?? EMPTY;
  const sheet = draft ?? stored;
  const isChanged = JSON.stringify(sheet) !== JSON.stringify(stored);
  const isAllowed = may("jobs:write") && !other;
  const isDescribed = Object.values(sheet).some((value) => value.length > 0);
  const name = sheet.name || id;
  const path = `/api/v1/image-generation/characters/${id}`;
  const save = async () => {
    const answer = await data(api.PUT("/api/v1/image-generation/characters/{character_id}", { params: { path: { character_id: id } }, body: { character: sheet } }));
    // Before the draft goes, so that the form does not show the former sheet for a moment.
    queries.setQueryData(["characters", id, "sheet", other], answer);
    setDraft(null);
    toast({ text: t("saved", { id }), tone: "good" });
    refresh("characters");
  };
  const order: OrderProps = { id, isAllowed, isDescribed, save: isChanged ? save : undefined };
  const remove = async () => {
    await data(api.DELETE("/api/v1/image-generation/characters/{character_id}", { params: { path: { character_id: id }, query: { pictures: true } } }));
    setDraft(null);
    refresh("characters");
    navigate("/characters");
  };
  const cell = findCell(state.cells, opened);
  return (
    <Page title={name} isFull call={{ method: "GET", path: `${path}/images`, cli: `imagemill characters images ${id}` }}
      actions={isAllowed && state.sheet && <ConfirmButton label={t("removeCharacter")} question={t("removeQuestion", { id })} call={{ method: "DELETE", path: `${path}?pictures=true`, cli: `imagemill characters remove ${id} --pictures` }} onConfirm={remove} />}>
      <Link href="/characters" class="characters-back small"><Icon name="left" size={16} />{t("back")}</Link>
      {other && <Notice>{t("readsOther", { owner: other })}</Notice>}
      {state.error !== null && <ProblemNotice error={state.error} onRetry={state.retry} />}
      {state.isPending ? <Waiting what={name} /> : (
        <div class="characters-board">
          <SheetEditor id={id} sheet={sheet} isChanged={isChanged} isAllowed={isAllowed} onChange={setDraft} onSave={save} onDiscard={() => setDraft(null)} />
          <div class="characters-pictures">
            <Tabs label={t("pictures")} tabs={[{ key: "pictures", label: t("pictures") }, { key: "drift", label: t("drift") }]} selected={tab === "drift" ? "drift" : "pictures"} onSelect={setTab}>
              {tab === "drift" ? <Drift id={id} onOpen={setOpened} /> : <Pictures state={state} order={order} name={name} onOpen={setOpened} />}
            </Tabs>
          </div>
        </div>
      )}
      {opened && <CellPanel key={opened} cell={cell} scenes={state.scenes} isNewEmotion={opened === "new"} order={order} name={name} onClose={() => setOpened("")} />}
    </Page>
  );
}

export interface OrderProps {
  id: string;
  isAllowed: boolean;
  isDescribed: boolean;
  /** Saves the sheet, which is changed; pictures are made from the stored one. */
  save: (() => Promise<void>) | undefined;
}

/** Return the cell of the address: a kind, or `sticker:EMOTION`. */
function findCell(cells: Cell[], key: string): Cell {
  const [kind = "", emotion = ""] = key.split(":");
  const none: Cell = { kind: kind === "new" ? "sticker" : (kind as Kind), emotion, pictures: [], active: undefined, job: undefined };
  return cells.find((each) => each.kind === kind && each.emotion === emotion) ?? none;
}

export function keyOf(cell: { kind: string; emotion: string }): string {
  return cell.emotion ? `${cell.kind}:${cell.emotion}` : cell.kind;
}

interface PicturesProps {
  state: ReturnType<typeof useCharacter>;
  order: OrderProps;
  name: string;
  onOpen: (key: string) => void;
}

function Pictures({ state, order, name, onOpen }: PicturesProps) {
  const t = useMessages(messages);
  const cellName = useCellName();
  const [shown, setShown] = useState(12);
  const tile = (cell: Cell) => <Tile key={keyOf(cell)} cell={cell} label={cellName(cell)} progress={cell.job ? state.progress.get(cell.job.id) : undefined} onOpen={() => onOpen(keyOf(cell))} />;
  const stickers = state.cells.filter((cell) => cell.kind === "sticker");
  const gaps = stickers.filter((cell) => !cell.active && !(cell.job && cell.job.status !== "failed") && (EMOTIONS as readonly string[]).includes(cell.emotion));
  return (
    <>
      <div class="characters-top">
        {state.cells.filter((cell) => cell.kind !== "sticker").map(tile)}
      </div>
      <section class="characters-section">
        <header><h2>{t("emotions")}</h2><FillGaps gaps={gaps.map((cell) => cell.emotion)} order={order} />
          {order.isAllowed && <Button icon="add" onClick={() => onOpen("new")}>{t("ownEmotion")}</Button>}
        </header>
        <div class="characters-emotions">{stickers.map(tile)}</div>
      </section>
      <section class="characters-section">
        <header><h2>{t("scenes")}</h2>{order.isAllowed && <Button icon="add" onClick={() => onOpen("scene")}>{t("newScene")}</Button>}</header>
        {!state.scenes.length && !state.sceneJob && <p class="soft">{t("noScenes")}</p>}
        <div class="characters-scenes">
          {state.sceneJob && <Tile cell={{ kind: "scene", emotion: "", pictures: [], active: undefined, job: state.sceneJob }} label={t("scene")} progress={state.progress.get(state.sceneJob.id)} onOpen={() => onOpen("scene")} />}
          {state.scenes.slice(0, shown).map((scene) => <Tile key={scene.id} cell={{ kind: "scene", emotion: "", pictures: [scene], active: scene, job: undefined }} label={t("shownPicture", { kind: t("scene"), name })} onOpen={() => onOpen("scene")} />)}
        </div>
        {state.scenes.length > shown && <div><Button onClick={() => setShown(shown + 24)}>{t("more")}</Button></div>}
      </section>
    </>
  );
}
