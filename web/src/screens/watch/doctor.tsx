/** The doctor as a page: findings arrive line by line. */
import { useEffect, useRef, useState } from "preact/hooks";
import type { Schema } from "~/api/http";
import { useMessages } from "~/app/i18n";
import { may } from "~/app/session";
import { Button } from "~/parts/button";
import { CopyAs } from "~/parts/copy-as";
import { Notice, Waiting } from "~/parts/page";
import { messages } from "./messages";

type Finding = Schema<"NodeFinding">;
type State = "idle" | "running" | "done" | "broken";

export function Doctor() {
  const t = useMessages(messages);
  const [findings, setFindings] = useState<Finding[]>([]);
  const [state, setState] = useState<State>("idle");
  const source = useRef<EventSource | null>(null);
  useEffect(() => () => source.current?.close(), []);
  const run = () => {
    source.current?.close();
    setFindings([]);
    setState("running");
    const opened = new EventSource("/api/v1/doctor?stream=true");
    source.current = opened;
    const end = (how: State) => {
      opened.close();
      setState(how);
    };
    opened.addEventListener("finding", (event) => setFindings((before) => [...before, JSON.parse((event as MessageEvent<string>).data) as Finding]));
    opened.addEventListener("done", () => end("done"));
    opened.addEventListener("error", () => end("broken"));
  };
  if (!may("nodes:write")) return null;
  const bad = findings.filter((each) => each.level !== "ok").length;
  return (
    <section class="watch-section">
      <header class="watch-head">
        <h2>{t("doctor")}</h2>
        <span>
          <Button icon="test" isBusy={state === "running"} onClick={run}>{t(state === "idle" ? "runDoctor" : "runAgain")}</Button>
          <CopyAs call={{ method: "GET", path: "/api/v1/doctor", cli: "imagemill doctor" }} />
        </span>
      </header>
      {state === "idle" && <p class="soft small">{t("doctorHint")}</p>}
      {findings.length > 0 && (
        <ul class="watch-findings">
          {findings.map((each, index) => (
            <li key={index}><span class={`watch-level watch-level-${each.level}`}>{t(each.level)}</span><strong>{each.subject}</strong><span>{each.message}</span></li>
          ))}
        </ul>
      )}
      {state === "running" && <Waiting what={t("doctor")} />}
      {state === "done" && <Notice tone={bad ? "warn" : "good"}>{t("findings", { count: findings.length, bad })}</Notice>}
      {state === "broken" && <Notice tone="bad">{t("broken")}</Notice>}
    </section>
  );
}
