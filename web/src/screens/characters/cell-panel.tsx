/** One cell beside the board: its pictures, which one is in use, and another one. */
import { api, data } from "~/api/http";
import { refresh } from "~/api/queries";
import { ago, useMessages } from "~/app/i18n";
import { toast, withUndo } from "~/app/toasts";
import { useState } from "preact/hooks";
import { Button, ButtonLink } from "~/parts/button";
import { CopyAs } from "~/parts/copy-as";
import { Dialog } from "~/parts/dialog";
import { Notice } from "~/parts/page";
import { Picture } from "~/parts/picture";
import { localUrl } from "~/parts/product-owner";
import { StatusBadge } from "~/parts/status";
import type { OrderProps } from "./board";
import { MakeForm } from "./make-form";
import { messages } from "./messages";
import type { Cell, CharacterPicture } from "./pictures";
import { useCellName } from "./tile";

interface CellPanelProps {
  cell: Cell;
  scenes: CharacterPicture[];
  isNewEmotion: boolean;
  order: OrderProps;
  name: string;
  onClose: () => void;
}

export function CellPanel({ cell, scenes, isNewEmotion, order, name, onClose }: CellPanelProps) {
  const t = useMessages(messages);
  const cellName = useCellName();
  const pictures = cell.kind === "scene" ? scenes : cell.pictures;
  const [chosen, setChosen] = useState("");
  const [hidden, setHidden] = useState("");
  const shown = pictures.filter((each) => each.id !== hidden);
  const picture = shown.find((each) => each.id === chosen) ?? shown.find((each) => each.active) ?? shown[0];
  const title = isNewEmotion ? t("ownEmotion") : `${name}: ${cellName(cell)}`;
  const { job } = cell;
  return (
    <Dialog title={title} isOpen onClose={onClose} isSide>
      {job && (job.status === "failed" ? (
        <Notice tone="bad" actions={<ButtonLink href={`/jobs/${job.id}`}>{t("job")}</ButtonLink>}><p>{t("why")}: {job.error?.message}</p><p class="small">{job.error?.advice || t("tryAgain")}</p></Notice>
      ) : (
        <p><StatusBadge status={job.status} /> <ButtonLink kind="quiet" href={`/jobs/${job.id}`}>{t("job")}</ButtonLink></p>
      ))}
      {picture && <Shown picture={picture} alt={t("shownPicture", { kind: cellName(cell), name })} order={order} onHide={setHidden} />}
      {shown.length > 1 && (
        <section class="characters-versions" aria-label={t("versions")}>
          {shown.map((each) => (
            <button key={each.id} type="button" aria-pressed={each.id === picture?.id} aria-label={`${cellName(cell)}, ${ago(each.createdAt)}${each.active ? `, ${t("isActive")}` : ""}`} onClick={() => setChosen(each.id)}>
              <img src={localUrl(each.thumbnailUrl)} alt="" loading="lazy" />
              {each.active && <span>{t("isActive")}</span>}
            </button>
          ))}
        </section>
      )}
      {order.isAllowed && <MakeForm kind={cell.kind} emotion={isNewEmotion ? null : cell.emotion} isAgain={pictures.length > 0} order={order} />}
    </Dialog>
  );
}

function Shown({ picture, alt, order, onHide }: { picture: CharacterPicture; alt: string; order: OrderProps; onHide: (id: string) => void }) {
  const t = useMessages(messages);
  const params = { path: { character_id: order.id, image_id: picture.id } };
  const path = `/api/v1/image-generation/characters/${order.id}/images/${picture.id}`;
  const use = async () => {
    try {
      await data(api.PUT("/api/v1/image-generation/characters/{character_id}/images/{image_id}/activate", { params }));
      toast({ text: t("used"), tone: "good" });
      refresh("characters");
    } catch (error) {
      toast({ text: error instanceof Error ? error.message : String(error), tone: "bad" });
    }
  };
  const remove = () =>
    withUndo(
      t("removed"),
      async () => {
        await data(api.DELETE("/api/v1/image-generation/characters/{character_id}/images/{image_id}", { params }));
        refresh("characters");
      },
      () => {
        onHide(picture.id);
        return () => onHide("");
      },
    );
  return (
    <>
      <a class="characters-shown" href={localUrl(picture.imageUrl)} target="_blank" rel="noreferrer">
        <Picture key={picture.id} src={localUrl(picture.imageUrl)} alt={alt} width={picture.width} height={picture.height} isContained />
      </a>
      <p class="soft small">{picture.width} × {picture.height} · {t("made")} {ago(picture.createdAt)}{picture.seed !== null && ` · ${t("seed")} ${picture.seed}`}</p>
      <div class="characters-buttons">
        {order.isAllowed && (picture.active ? <span class="status status-succeeded">{t("isActive")}</span> : <Button kind="primary" icon="check" onClick={() => void use()}>{t("use")}</Button>)}
        <ButtonLink href={localUrl(picture.imageUrl)} icon="download" isDownload>{t("download")}</ButtonLink>
        <ButtonLink href={`/jobs/${picture.jobId}`} icon="queue">{t("job")}</ButtonLink>
        {order.isAllowed && <Button kind="danger" icon="delete" onClick={remove}>{t("remove")}</Button>}
        {order.isAllowed && <CopyAs call={{ method: "PUT", path: `${path}/activate`, cli: `imagemill characters activate ${order.id} ${picture.id}` }} />}
      </div>
    </>
  );
}
