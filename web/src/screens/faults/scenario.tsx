/** The rules and their order as a JSON file: recorded here, loaded here or by `IMAGEMILL_SIMULATOR__SCENARIO`. */
import { useRef } from "preact/hooks";
import { type Schema, api, data } from "~/api/http";
import { refresh } from "~/api/queries";
import { useMessages } from "~/app/i18n";
import { toast } from "~/app/toasts";
import { Button } from "~/parts/button";
import { messages } from "./messages";

export function ScenarioFile() {
  const t = useMessages(messages);
  const chooser = useRef<HTMLInputElement>(null);
  const fail = (error: unknown) => toast({ text: error instanceof Error ? error.message : String(error), tone: "bad" });
  const record = async () => {
    const scenario = await data(api.GET("/api/v1/simulator/scenario"));
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([`${JSON.stringify(scenario, null, 2)}\n`], { type: "application/json" }));
    link.download = "scenario.json";
    link.click();
    URL.revokeObjectURL(link.href);
  };
  const load = async (file: File) => {
    let body: Schema<"ScenarioBody">;
    try {
      body = JSON.parse(await file.text()) as Schema<"ScenarioBody">;
    } catch {
      throw new Error(t("notJson", { name: file.name }));
    }
    await data(api.PUT("/api/v1/simulator/scenario", { body }));
    toast({ text: t("loaded", { count: (body.rule?.length ?? 0) + (body.http?.length ?? 0) }), tone: "good" });
    refresh("jobs");
  };
  return (
    <>
      <Button icon="download" onClick={() => void record().catch(fail)}>{t("record")}</Button>
      <Button icon="upload" onClick={() => chooser.current?.click()}>{t("load")}</Button>
      <input ref={chooser} type="file" accept=".json,application/json" hidden aria-label={t("load")}
        onChange={(event) => {
          const file = event.currentTarget.files?.[0];
          event.currentTarget.value = "";
          if (file) void load(file).catch(fail);
        }} />
    </>
  );
}
