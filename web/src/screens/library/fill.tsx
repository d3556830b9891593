/** Fill what is missing of the filter, with the price before. */
import { useQuery } from "@tanstack/react-query";
import { useState } from "preact/hooks";
import { api, data } from "~/api/http";
import { refresh } from "~/api/queries";
import { useMessages } from "~/app/i18n";
import { toast } from "~/app/toasts";
import { Button } from "~/parts/button";
import { CopyAs } from "~/parts/copy-as";
import { Dialog } from "~/parts/dialog";
import { NumberInput } from "~/parts/field";
import { ProblemNotice, Waiting } from "~/parts/page";
import { Price } from "~/parts/price";
import { type Filter, gridOf, gridText } from "./cells";
import { messages } from "./messages";

export function FillDialog({ filter, onClose }: { filter: Filter; onClose: () => void }) {
  const t = useMessages(messages);
  const [count, setCount] = useState<number | null>(null);
  const [isBusy, setBusy] = useState(false);
  const [problem, setProblem] = useState<unknown>(null);
  const body = { grid: gridOf(filter), count, save: true, dryRun: false };
  const quote = useQuery({
    queryKey: ["price", "library", body],
    queryFn: async ({ signal }) => {
      const answer = await data(api.POST("/api/v1/library/batch", { body: { ...body, dryRun: true }, signal }));
      return "dryRun" in answer ? answer : undefined;
    },
    placeholderData: (before) => before,
  });
  const price = quote.data;
  const order = async () => {
    setBusy(true);
    setProblem(null);
    try {
      const done = await data(api.POST("/api/v1/library/batch", { body }));
      toast({ text: t("ordered", { count: done.new }), tone: "good" });
      refresh("library", "jobs", "counts");
      onClose();
    } catch (error) {
      setProblem(error);
    }
    setBusy(false);
  };
  const blocked = price && !price.new ? t("nothingMissing") : undefined;
  return (
    <Dialog title={t("fillTitle")} isOpen onClose={onClose}
      actions={<>
        <CopyAs call={{ method: "POST", path: "/api/v1/library/batch", body: { grid: body.grid, ...(count ? { count } : {}) }, cli: `imagemill library batch${gridText(filter)}${count ? ` --count ${count}` : ""}` }} />
        <Button kind="primary" icon="make" isBusy={isBusy || !price} blocked={blocked} onClick={() => void order()}>{t("make", { count: price?.new ?? 0 })}</Button>
      </>}>
      {problem !== null && <ProblemNotice error={problem} />}
      {quote.error && <ProblemNotice error={quote.error} onRetry={() => void quote.refetch()} />}
      {quote.isPending && <Waiting what={t("price")} />}
      {price && <p>{price.new + price.missing ? t("fillText", { count: price.new + price.missing }) : t("nothingMissing")}</p>}
      <NumberInput label={t("most")} hint={t("mostHint")} min={1} max={1000} step={1} value={count} onInput={(value) => setCount(value === null || value < 1 ? null : Math.floor(value))} />
      <Price price={price} />
    </Dialog>
  );
}
