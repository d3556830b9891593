/** Make the emotions that have no sticker, with the price before. */
import { useQuery } from "@tanstack/react-query";
import { useState } from "preact/hooks";
import { api, data } from "~/api/http";
import { refresh } from "~/api/queries";
import { useMessages } from "~/app/i18n";
import { toast } from "~/app/toasts";
import { Button } from "~/parts/button";
import { CopyAs } from "~/parts/copy-as";
import { Price } from "~/parts/price";
import type { OrderProps } from "./board";
import { messages } from "./messages";

export function FillGaps({ gaps, order }: { gaps: string[]; order: OrderProps }) {
  const t = useMessages(messages);
  const [isBusy, setBusy] = useState(false);
  const body = { characterId: order.id, emotions: gaps, customInstructions: "", reuse: false };
  const canOrder = gaps.length > 0 && order.isDescribed;
  const price = useQuery({
    queryKey: ["price", "character", order.id, gaps],
    queryFn: async ({ signal }) => {
      // A price does not depend on the sheet, which may not be stored yet.
      const answer = await data(api.POST("/api/v1/image-generation/stickers/bulk", { params: { query: { whatif: true } }, body: { ...body, character: { ...PLAIN } }, signal }));
      return "cost" in answer ? answer : undefined;
    },
    enabled: order.isAllowed && canOrder,
  });
  const run = async () => {
    setBusy(true);
    try {
      await order.save?.();
      const done = await data(api.POST("/api/v1/image-generation/stickers/bulk", { body }));
      if ("jobIds" in done) toast({ text: t("ordered", { count: done.jobIds.length }), tone: "good" });
      refresh("characters", "jobs", "counts");
    } catch (error) {
      toast({ text: error instanceof Error ? error.message : String(error), tone: "bad" });
    }
    setBusy(false);
  };
  if (!order.isAllowed) return null;
  const blocked = !gaps.length ? t("noGaps") : order.isDescribed ? undefined : t("describeFirst");
  return (
    <>
      <Button kind="primary" icon="make" isBusy={isBusy} blocked={blocked} onClick={() => void run()}>{gaps.length ? t("fill", { count: gaps.length }) : t("noGaps")}</Button>
      {canOrder && <Price price={price.data} />}
      {gaps.length > 0 && <CopyAs call={{ method: "POST", path: "/api/v1/image-generation/stickers/bulk", body: { characterId: order.id, emotions: gaps }, cli: `imagemill characters stickers ${order.id}${gaps.map((each) => ` --emotion ${each}`).join("")}` }} />}
    </>
  );
}

export const PLAIN = { name: "", gender: "", species: "", physical: "brown hair", attire: "", style: "", description: "" };
