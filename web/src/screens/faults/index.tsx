/** Faults: the simulator's speed, faults of the worker and of the API, and both as a file. */
import { useQuery } from "@tanstack/react-query";
import { useState } from "preact/hooks";
import { type Schema, api, data } from "~/api/http";
import { refresh } from "~/api/queries";
import { duration, useMessages } from "~/app/i18n";
import { messages as names } from "~/app/messages";
import { may } from "~/app/session";
import { useUrlState } from "~/app/state";
import { toast } from "~/app/toasts";
import { Button, IconButton } from "~/parts/button";
import { Slider } from "~/parts/field";
import { Empty, Notice, Page, ProblemNotice, Waiting } from "~/parts/page";
import { Tabs } from "~/parts/tabs";
import { ApiFaultForm, WorkerFaultForm } from "./forms";
import { messages } from "./messages";
import { useRuleText } from "./rule-text";
import { ScenarioFile } from "./scenario";
import "./style.css";

type Simulator = Schema<"SimulatorInfo">;

/** Run a change, show its result, and read the rules again. */
export async function change(act: () => Promise<unknown>, said: string): Promise<void> {
  try {
    await act();
    toast({ text: said, tone: "good" });
  } catch (error) {
    toast({ text: error instanceof Error ? error.message : String(error), tone: "bad" });
  }
  refresh("jobs");
}

export default function Faults() {
  const t = useMessages(messages);
  const n = useMessages(names);
  const [tab, setTab] = useUrlState("tab", "worker");
  // Their keys begin with "jobs", so that the counters follow the events of jobs.
  const simulator = useQuery({ queryKey: ["jobs", "simulator"], queryFn: ({ signal }) => data(api.GET("/api/v1/simulator", { signal })) });
  const http = useQuery({ queryKey: ["jobs", "simulator", "http"], queryFn: ({ signal }) => data(api.GET("/api/v1/simulator/faults", { signal })) });
  const error = simulator.error ?? http.error;
  const isAllowed = may("nodes:write");
  return (
    <Page title={n("faults")} call={{ method: "GET", path: "/api/v1/simulator", cli: "imagemill simulator show" }} actions={isAllowed && simulator.data && <ScenarioFile />}>
      <p class="soft">{t("intro")}</p>
      {error && <ProblemNotice error={error} onRetry={() => void Promise.all([simulator.refetch(), http.refetch()])} />}
      {simulator.isPending && <Waiting what={t("simulator")} />}
      {simulator.data && !simulator.data.on && <Notice tone="warn">{t(simulator.data.nodes ? "off" : "disabled")}</Notice>}
      {simulator.data && <Speed simulator={simulator.data} isAllowed={isAllowed} />}
      {simulator.data && http.data && (
        <Tabs label={n("faults")} selected={tab} onSelect={setTab}
          tabs={[{ key: "worker", label: t("worker"), count: simulator.data.faults.length }, { key: "api", label: t("api"), count: http.data.items.length }]}>
          {tab === "api" ? <ApiFaults rules={http.data.items} isAllowed={isAllowed && simulator.data.on} /> : <WorkerFaults rules={simulator.data.faults} isAllowed={isAllowed && simulator.data.on} />}
        </Tabs>
      )}
    </Page>
  );
}

function Speed({ simulator, isAllowed }: { simulator: Simulator; isAllowed: boolean }) {
  const t = useMessages(messages);
  const position = Math.max(0, simulator.speeds.findIndex((each) => each.name === simulator.speed));
  const [shown, setShown] = useState<number | null>(null);
  const set = (speed: (typeof simulator.speeds)[number]["name"] | null, stepMs: number) =>
    change(() => data(api.PATCH("/api/v1/simulator", { body: { speed } })), t("speedSet", { step: duration(stepMs / 1000) })).then(() => setShown(null));
  const at = shown ?? position;
  const named = simulator.speeds[at];
  const isCustom = shown === null && simulator.speed === null;
  return (
    <section class="card faults-speed" aria-label={t("speed")}>
      <Slider label={t("speed")} min={0} max={simulator.speeds.length - 1} value={at} shown={isCustom || !named ? t("custom") : t(named.name)}
        hint={t("speedIs", { step: duration(simulator.stepMs / 1000), load: duration(simulator.loadMs / 1000) })}
        onInput={(value) => {
          const chosen = simulator.speeds[value];
          if (!chosen || !isAllowed) return;
          setShown(value);
          void set(chosen.name, chosen.stepMs);
        }} />
      {simulator.changed && isAllowed && <Button kind="quiet" icon="undo" onClick={() => void change(() => data(api.PATCH("/api/v1/simulator", { body: { speed: null } })), t("reset"))}>{t("reset")}</Button>}
    </section>
  );
}

function WorkerFaults({ rules, isAllowed }: { rules: Simulator["faults"]; isAllowed: boolean }) {
  const t = useMessages(messages);
  const text = useRuleText();
  const [isOpen, setOpen] = useState(false);
  const added = rules.filter((each) => each.source === "added").length;
  const remove = (id: string) => change(() => data(api.DELETE("/api/v1/simulator/worker-faults/{fault_id}", { params: { path: { fault_id: id } } })), t("removed"));
  const removeAll = () => change(() => data(api.DELETE("/api/v1/simulator/worker-faults")), t("removedAll", { count: added }));
  return (
    <>
      <Toolbar isAllowed={isAllowed} label={t("addWorker")} onAdd={() => setOpen(true)} count={added} onRemoveAll={() => void removeAll()} />
      {rules.length ? (
        <Rules>
          {rules.map((each) => (
            <tr key={each.id}>
              <th scope="row">{t(`f_${each.rule.fault}`)}</th>
              <td>{text.ofWorker(each.rule)}{each.source === "settings" && <span class="soft"> · {t("fromSettings")}</span>}</td>
              <td class="faults-count">{each.hits}</td>
              <td>{isAllowed && each.source === "added" && <IconButton icon="delete" label={`${t("remove")}: ${t(`f_${each.rule.fault}`)}`} onClick={() => void remove(each.id)} />}</td>
            </tr>
          ))}
        </Rules>
      ) : <Empty icon="faults" title={t("none")}><p>{t("noneWorker")}</p></Empty>}
      <WorkerFaultForm isOpen={isOpen} onClose={() => setOpen(false)} />
    </>
  );
}

function ApiFaults({ rules, isAllowed }: { rules: Schema<"ActiveFault">[]; isAllowed: boolean }) {
  const t = useMessages(messages);
  const text = useRuleText();
  const [isOpen, setOpen] = useState(false);
  const remove = (id: string) => change(() => data(api.DELETE("/api/v1/simulator/faults/{fault_id}", { params: { path: { fault_id: id } } })), t("removed"));
  const removeAll = () => change(() => data(api.DELETE("/api/v1/simulator/faults")), t("removedAll", { count: rules.length }));
  return (
    <>
      <Toolbar isAllowed={isAllowed} label={t("addApi")} onAdd={() => setOpen(true)} count={rules.length} onRemoveAll={() => void removeAll()} />
      {rules.length ? (
        <Rules>
          {rules.map((each) => (
            <tr key={each.id}>
              <th scope="row">{text.ofApi(each.rule)}</th>
              <td>{text.condition(each.rule)}</td>
              <td class="faults-count">{each.hits}{each.left !== null && <span class="soft"> · {t("left", { count: each.left })}</span>}</td>
              <td>{isAllowed && <IconButton icon="delete" label={`${t("remove")}: ${text.ofApi(each.rule)}`} onClick={() => void remove(each.id)} />}</td>
            </tr>
          ))}
        </Rules>
      ) : <Empty icon="faults" title={t("none")}><p>{t("noneApi")}</p></Empty>}
      <ApiFaultForm isOpen={isOpen} onClose={() => setOpen(false)} />
    </>
  );
}

function Toolbar({ isAllowed, label, onAdd, count, onRemoveAll }: { isAllowed: boolean; label: string; onAdd: () => void; count: number; onRemoveAll: () => void }) {
  const t = useMessages(messages);
  return (
    <div class="faults-toolbar">
      {isAllowed && <Button kind="primary" icon="add" onClick={onAdd}>{label}</Button>}
      <Button kind="quiet" icon="refresh" onClick={() => refresh("jobs")}>{t("refresh")}</Button>
      {isAllowed && count > 0 && <Button kind="quiet" icon="delete" onClick={onRemoveAll}>{t("removeAll")}</Button>}
    </div>
  );
}

function Rules({ children }: { children: preact.ComponentChildren }) {
  const t = useMessages(messages);
  return (
    <div class="table-scroll">
      <table class="faults-rules">
        <thead><tr><th scope="col">{t("fault")}</th><th scope="col">{t("condition")}</th><th scope="col">{t("hits")}</th><th scope="col"><span class="visually-hidden">{t("remove")}</span></th></tr></thead>
        <tbody aria-live="polite">{children}</tbody>
      </table>
    </div>
  );
}
