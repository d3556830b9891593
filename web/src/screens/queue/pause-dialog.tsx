/** Pause everything, an owner, a recipe or a node, with a reason; and what is paused now. */
import { useQuery } from "@tanstack/react-query";
import { useState } from "preact/hooks";
import { Problem, type Schema, api, data } from "~/api/http";
import { refresh } from "~/api/queries";
import { useMessages } from "~/app/i18n";
import { usePauseName, usePauses, useResume } from "~/app/pause-banner";
import { useDraft } from "~/app/state";
import { toast } from "~/app/toasts";
import { Button } from "~/parts/button";
import { CopyAs } from "~/parts/copy-as";
import { Dialog } from "~/parts/dialog";
import { Field, Select, TextInput } from "~/parts/field";
import { ProblemNotice } from "~/parts/page";
import { messages } from "./messages";

type Scope = Schema<"PauseScope">;
const FRESH = { scope: "all" as Scope, name: "", reason: "" };

interface PauseDialogProps {
  isOpen: boolean;
  onClose: () => void;
}

export function PauseDialog({ isOpen, onClose }: PauseDialogProps) {
  const t = useMessages(messages);
  const pauseName = usePauseName();
  const pauses = usePauses();
  const resume = useResume();
  const [draft, setDraft, clear] = useDraft("pause", FRESH);
  const [error, setError] = useState<unknown>(null);
  const names = useNames(isOpen ? draft.scope : "all");
  const name = draft.scope === "all" ? "" : draft.name;
  const body = { scope: draft.scope, name, reason: draft.reason };
  const submit = async () => {
    setError(null);
    try {
      const made = await data(api.POST("/api/v1/pauses", { body }));
      toast({ text: t("paused", { what: pauseName(made) }), tone: "good" });
      clear();
      onClose();
    } catch (problem) {
      setError(problem);
    }
    refresh("pauses", "jobs", "counts");
  };
  const wrong = error instanceof Problem ? error.errors.name?.[0] : undefined;
  const scopes = [
    { value: "all", label: t("everything") }, { value: "owner", label: t("owner") }, { value: "recipe", label: t("recipe") }, { value: "node", label: t("node") },
  ];
  const cli = `imagemill pauses add ${draft.scope}${name ? ` ${name}` : ""}${draft.reason ? ` --reason '${draft.reason}'` : ""}`;
  return (
    <Dialog title={t("pauseTitle")} isOpen={isOpen} onClose={onClose} actions={
      <>
        <CopyAs call={{ method: "POST", path: "/api/v1/pauses", body, cli }} />
        <Button onClick={onClose}>{t("back")}</Button>
        <Button kind="primary" icon="pause" onClick={() => void submit()}>{t("pause")}</Button>
      </>
    }>
      {pauses.length > 0 && (
        <ul class="queue-pauses">
          {pauses.map((pause) => (
            <li key={pause.id}>
              <span>{pauseName(pause)}{pause.reason && `: ${pause.reason}`}</span>
              <Button icon="play" onClick={() => void resume(pause)}>{t("continue")}</Button>
            </li>
          ))}
        </ul>
      )}
      <Select label={t("pauseWhat")} value={draft.scope} onChange={(scope) => setDraft({ ...draft, scope: scope as Scope, name: "" })} options={scopes} />
      {draft.scope !== "all" && (
        <Field label={t("name")} error={wrong}>
          {(given) => (
            <>
              <input type="text" {...given} list={`${given.id}-names`} value={draft.name} onInput={(event) => setDraft({ ...draft, name: event.currentTarget.value })} />
              <datalist id={`${given.id}-names`}>{names.map((each) => <option key={each} value={each} />)}</datalist>
            </>
          )}
        </Field>
      )}
      <TextInput label={t("reason")} hint={t("reasonHint")} value={draft.reason} onInput={(reason) => setDraft({ ...draft, reason })} maxLength={500} />
      <p class="field-hint">{t("running")}</p>
      {error !== null && !wrong && <ProblemNotice error={error} />}
    </Dialog>
  );
}

/** Return the names that there are of this scope. */
function useNames(scope: Scope): string[] {
  const found = useQuery({
    queryKey: ["counts", "names", scope],
    queryFn: async ({ signal }) => {
      if (scope === "node") return (await data(api.GET("/api/v1/nodes", { signal }))).items.map((node) => node.name);
      if (scope === "recipe") return (await data(api.GET("/api/v1/recipes", { signal }))).items.map((recipe) => recipe.name);
      const owners = await data(api.GET("/api/v1/jobs/counts", { params: { query: { by: "owner", owner: "*" } }, signal }));
      return owners.items.map((each) => each.key);
    },
    enabled: scope !== "all",
  });
  return found.data ?? [];
}
