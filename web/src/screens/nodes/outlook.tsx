/** When the waiting jobs will start, what changes if a node is drained, and how the nodes weigh a picked job. */
import { useQuery } from "@tanstack/react-query";
import { Link } from "wouter-preact";
import { type Schema, api, data } from "~/api/http";
import { duration, number, useMessages } from "~/app/i18n";
import { ownerQuery, useSession } from "~/app/session";
import { useUrlState } from "~/app/state";
import { Button } from "~/parts/button";
import { Checkbox } from "~/parts/field";
import { Empty, Notice, ProblemNotice, Waiting } from "~/parts/page";
import { PlacementPanel } from "~/screens/job/placement-panel";
import "~/screens/job/style.css";
import { messages } from "./messages";

type Forecast = Schema<"QueueForecast">;
const MOST_ROWS = 100;

const read = (without: string[]) => data(api.GET("/api/v1/forecast", { params: { query: { ...(without.length ? { without } : {}), ...ownerQuery() } } }));
const lengthOf = (forecast: Forecast) => (forecast.doneAt ? (Date.parse(forecast.doneAt) - Date.parse(forecast.at)) / 1000 : 0);

export function Outlook({ nodes }: { nodes: string[] }) {
  const t = useMessages(messages);
  const { owner } = useSession();
  const [text, setText] = useUrlState("without");
  const [picked, setPicked] = useUrlState("job");
  const without = text.split(",").filter(Boolean);
  const now = useQuery({ queryKey: ["forecast", owner], queryFn: () => read([]) });
  const changed = useQuery({ queryKey: ["forecast", owner, text], queryFn: () => read(without), enabled: without.length > 0 });
  const shown = without.length ? changed : now;
  if (shown.error) return <ProblemNotice error={shown.error} onRetry={() => void shown.refetch()} />;
  if (!now.data || !shown.data) return <Waiting what={t("outlook")} />;
  const forecast = shown.data;
  const before = new Map(now.data.items.map((each) => [each.id, each.startsAt]));
  if (!now.data.items.length) return <Empty icon="queue" title={t("nothingWaits")} />;
  return (
    <>
      <fieldset class="nodes-without">
        <legend>{t("whatIf")}</legend>
        {nodes.map((name) => (
          <Checkbox key={name} label={t("drainNode", { name })} isChecked={without.includes(name)}
            onChange={(isOn) => setText((isOn ? [...without, name] : without.filter((each) => each !== name)).join(","))} />
        ))}
      </fieldset>
      <Notice tone={without.length ? "warn" : "info"}>
        {t("doneIn", { count: forecast.items.length, time: duration(lengthOf(forecast)) })}
        {without.length > 0 && <> {t("insteadOf", { time: duration(lengthOf(now.data)) })}</>}
        {!forecast.complete && <> {t("incomplete")}</>}
      </Notice>
      {forecast.nodes.length > 0 && <p class="soft small">{forecast.nodes.map((node) => t(node.measured ? "speedMeasured" : "speedAssumed", { name: node.name, speed: number(node.speed, { maximumFractionDigits: 2 }) })).join(" · ")}</p>}
      <div class="table-scroll" tabIndex={0} role="region" aria-label={t("outlook")}>
        <table>
          <thead><tr><th scope="col">{t("job")}</th><th scope="col">{t("startsIn")}</th><th scope="col">{t("endsIn")}</th><th scope="col">{t("where")}</th><th scope="col">{t("placement")}</th></tr></thead>
          <tbody>
            {forecast.items.slice(0, MOST_ROWS).map((each) => <Row key={each.id} each={each} at={forecast.at} before={without.length ? (before.get(each.id) ?? null) : null} onPick={() => setPicked(picked === each.id ? "" : each.id)} isPicked={picked === each.id} />)}
          </tbody>
        </table>
      </div>
    </>
  );
}

function Row({ each, at, before, onPick, isPicked }: { each: Forecast["items"][number]; at: string; before: string | null; onPick: () => void; isPicked: boolean }) {
  const t = useMessages(messages);
  const until = (moment: string | null) => (moment === null ? t("never") : duration(Math.max(0, (Date.parse(moment) - Date.parse(at)) / 1000)));
  const later = before && each.startsAt ? (Date.parse(each.startsAt) - Date.parse(before)) / 1000 : 0;
  return (
    <>
      <tr>
        <td><Link href={`/jobs/${each.id}`}>{each.id.slice(-8)}</Link> <span class="soft small">{each.owner}</span></td>
        <td>{until(each.startsAt)}{Math.abs(later) >= 1 && <span class={`small ${later > 0 ? "nodes-later" : "nodes-sooner"}`}> {later > 0 ? "+" : "−"}{duration(Math.abs(later))}</span>}</td>
        <td>{until(each.endsAt)}</td>
        <td>{each.node ?? <span class="soft small">{each.reason}</span>} {each.loads && <span class="soft small">{t("loadsFirst")}</span>}</td>
        <td><Button kind="quiet" aria-expanded={isPicked} aria-label={`${t("why")} ${each.id.slice(-8)}`} onClick={onPick}>{t("why")}</Button></td>
      </tr>
      {isPicked && <tr><td colSpan={5}><PlacementPanel id={each.id} /></td></tr>}
    </>
  );
}
