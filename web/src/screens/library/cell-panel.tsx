/** One cell beside the map: its picture, its versions, and the next version. */
import { useQuery } from "@tanstack/react-query";
import { useState } from "preact/hooks";
import { type Schema, api, data } from "~/api/http";
import { refresh } from "~/api/queries";
import { ago, duration, useMessages } from "~/app/i18n";
import { toast } from "~/app/toasts";
import { Button, ButtonLink } from "~/parts/button";
import { CopyAs } from "~/parts/copy-as";
import { Dialog } from "~/parts/dialog";
import { Empty, ProblemNotice, Waiting } from "~/parts/page";
import { Picture } from "~/parts/picture";
import { Price } from "~/parts/price";
import { localUrl, useProductOwner } from "~/parts/product-owner";
import { nameOf } from ".";
import { type Cell, PARAMETERS } from "./cells";
import { EditForm } from "./edit-form";
import { messages } from "./messages";

export type Model = Schema<"LibraryModel">;

interface CellPanelProps {
  cell: Cell;
  isAllowed: boolean;
  onClose: () => void;
}

export function CellPanel({ cell, isAllowed, onClose }: CellPanelProps) {
  const t = useMessages(messages);
  const { query, other } = useProductOwner();
  const [chosen, setChosen] = useState("");
  const id = cell.modelId ?? "";
  const found = useQuery({
    queryKey: ["library", "versions", id, other],
    queryFn: ({ signal }) => data(api.GET("/api/v1/library/{model_id}/versions", { params: { path: { model_id: id }, query }, signal })),
    enabled: Boolean(id),
  });
  const versions = found.data?.items ?? [];
  const model = versions.find((each) => each.id === chosen) ?? versions[0];
  const name = PARAMETERS.map((each) => nameOf(t, cell[each])).join(" · ");
  return (
    <Dialog title={name} isOpen onClose={onClose} isSide actions={<OrderOne cell={cell} isAllowed={isAllowed} />}>
      {found.error && <ProblemNotice error={found.error} onRetry={() => void found.refetch()} />}
      {id && found.isPending && <Waiting what={t("versions")} />}
      {!id && <Empty icon="library" title={t(cell.state === "under_way" ? "making" : "notYet")}>{cell.jobId && <ButtonLink href={`/jobs/${cell.jobId}`} icon="queue">{t("job")}</ButtonLink>}</Empty>}
      {model && (
        <>
          <a href={localUrl(model.signed.imageUrl)} target="_blank" rel="noreferrer">
            <Picture key={model.id} src={localUrl(model.signed.imageUrl)} alt={t("picture", { name, version: model.version })} width={size(model, "width")} height={size(model, "height")} isContained />
          </a>
          {versions.length > 1 && (
            <section class="library-versions" aria-label={t("versions")}>
              {versions.map((each) => (
                <button key={each.id} type="button" aria-pressed={each.id === model.id} onClick={() => setChosen(each.id)}>
                  <img src={localUrl(each.signed.thumbnailUrl)} alt="" loading="lazy" />
                  <span>{t("present", { version: each.version })}</span>
                </button>
              ))}
            </section>
          )}
          <Facts model={model} />
          {isAllowed && <EditForm key={model.id} model={model} />}
        </>
      )}
    </Dialog>
  );
}

function size(model: Model, side: "width" | "height"): number | undefined {
  const value = model.metadata[side];
  return typeof value === "number" ? value : undefined;
}

function Facts({ model }: { model: Model }) {
  const t = useMessages(messages);
  const { seed, model: checkpoint } = model.metadata;
  const facts: [string, string | null][] = [
    [t("made1"), model.createdAt ? ago(model.createdAt) : null],
    [t("seed"), seed === undefined ? null : String(seed)],
    [t("size"), size(model, "width") ? `${size(model, "width")} × ${size(model, "height")}` : null],
    [t("model"), checkpoint === undefined ? null : String(checkpoint)],
    [t("took"), model.processingTimeMs === null ? null : duration(model.processingTimeMs / 1000)],
  ];
  return (
    <dl class="library-facts">
      {facts.map(([name, value]) => value && <div key={name}><dt>{name}</dt><dd>{value}</dd></div>)}
      <div><dt>{t("prompt")}</dt><dd>{model.prompt}</dd></div>
    </dl>
  );
}

function OrderOne({ cell, isAllowed }: { cell: Cell; isAllowed: boolean }) {
  const t = useMessages(messages);
  const [isBusy, setBusy] = useState(false);
  const { gender, ageRange, bodyType, pose, style } = cell;
  const look = { gender, ageRange, bodyType, pose, style };
  const body = { ...look, save: true };
  const price = useQuery({
    queryKey: ["price", "library", cell.templateId],
    queryFn: async ({ signal }) => {
      const answer = await data(api.POST("/api/v1/library", { params: { query: { whatif: true } }, body, signal }));
      return "cost" in answer ? answer : undefined;
    },
    enabled: isAllowed,
  });
  const order = async () => {
    setBusy(true);
    try {
      const done = await data(api.POST("/api/v1/library", { body }));
      if ("jobId" in done) toast({ text: t("orderedOne", { name: done.templateId, job: done.jobId }), tone: "good" });
      refresh("library", "jobs", "counts");
    } catch (error) {
      toast({ text: error instanceof Error ? error.message : String(error), tone: "bad" });
    }
    setBusy(false);
  };
  if (!isAllowed) return null;
  return (
    <>
      <Price price={price.data} />
      <CopyAs call={{ method: "POST", path: "/api/v1/library", body: look, cli: `imagemill library batch --grid '${PARAMETERS.map((name) => `${snake(name)}=${cell[name]}`).join(",")}'` }} />
      <Button kind="primary" icon="make" isBusy={isBusy} blocked={cell.state === "under_way" ? t("making") : undefined} onClick={() => void order()}>{t(cell.state === "present" ? "nextVersion" : "makeOne")}</Button>
    </>
  );
}

function snake(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
