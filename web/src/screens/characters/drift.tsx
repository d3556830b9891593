/** How far each picture is from the identity picture, worst first. */
import { useQuery } from "@tanstack/react-query";
import { api, data } from "~/api/http";
import { number, useMessages } from "~/app/i18n";
import { CopyAs } from "~/parts/copy-as";
import { Empty, ProblemNotice, Waiting } from "~/parts/page";
import { localUrl, useProductOwner } from "~/parts/product-owner";
import { keyOf } from "./board";
import { messages } from "./messages";
import { useCellName } from "./tile";

/** Distances in CIELAB from which a picture is shown as drifting, and as far. */
const SOME = 8;
const FAR = 20;
const FULL = 50;

export function Drift({ id, onOpen }: { id: string; onOpen: (key: string) => void }) {
  const t = useMessages(messages);
  const cellName = useCellName();
  const { query, other } = useProductOwner();
  const found = useQuery({
    queryKey: ["characters", id, "drift", other],
    queryFn: ({ signal }) => data(api.GET("/api/v1/image-generation/characters/{character_id}/drift", { params: { path: { character_id: id }, query }, signal })),
  });
  const report = found.data;
  if (found.error) return <ProblemNotice error={found.error} onRetry={() => void found.refetch()} />;
  if (!report) return <Waiting what={t("comparing")} />;
  if (report.identity === null) return <Empty icon="characters" title={t("driftNone")} />;
  if (!report.items.length) return <Empty icon="characters" title={t("driftEmpty")} />;
  return (
    <>
      <div class="characters-drift-head">
        <p class="soft small">{t("driftText")}</p>
        <CopyAs call={{ method: "GET", path: `/api/v1/image-generation/characters/${id}/drift`, cli: `imagemill characters drift ${id}` }} />
      </div>
      <ol class="characters-drift">
        {report.items.map(({ image, distance }) => {
          const cell = { kind: image.type, emotion: image.emotion ?? "" };
          const grade = distance === null ? "unmeasured" : distance >= FAR ? "far" : distance >= SOME ? "some" : "close";
          return (
            <li key={image.id}>
              <button type="button" onClick={() => onOpen(keyOf(cell))}>
                <img src={localUrl(image.thumbnailUrl)} alt="" loading="lazy" />
                <span class="characters-drift-name">{cellName(cell)}</span>
                <span class={`characters-grade characters-${grade}`}>{t(grade)}</span>
                <span class="characters-drift-bar" aria-hidden="true"><span class={`characters-${grade}`} style={{ width: `${Math.min(100, (100 * (distance ?? 0)) / FULL)}%` }} /></span>
                <span class="characters-distance">{distance === null ? "–" : number(distance, { maximumFractionDigits: 1, minimumFractionDigits: 1 })}</span>
              </button>
            </li>
          );
        })}
      </ol>
    </>
  );
}
