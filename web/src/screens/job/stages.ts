/** The parts of a job's time, from its events and the times of its graph: what it waited for and what it did. */
import type { Schema } from "~/api/http";

type JobEvent = Schema<"EventBody">;
type Job = Schema<"JobBody">;
type Graph = Schema<"JobGraph">;

export type PartName = "depends" | "queued" | "retry" | "prepare" | "send" | "load" | "steps" | "render" | "post" | "upload" | "webhook";

export interface Part {
  name: PartName;
  /** Milliseconds since the epoch. */
  start: number;
  end: number;
  /** Whether nothing was worked on. */
  isWait: boolean;
}

export interface Lane {
  /** 0 before the first attempt, and after the last one. */
  attempt: number;
  node: string;
  outcome: string;
  parts: Part[];
}

interface StageTime {
  stage: string;
  atMs: number;
  ms: number;
}

const STAGES: Record<string, PartName> = {
  PROMPT_PREPARED: "prepare",
  SENT_TO_COMFY: "send",
  SENT_TO_BACKEND: "send",
  COMFY_RESULT: "render",
  BACKEND_RESULT: "render",
  STORED: "post",
};
const ENDS = new Set(["Succeeded", "Failed", "Canceled", "Expired", "Rejected", "ClaimExpired"]);

/** Return the waiting before each attempt and the parts of each, in order. `until` is the end of what goes on now. */
export function lanesOf(job: Job, events: JobEvent[], graph: Graph | undefined, deliveredAt: number | null, until: number): Lane[] {
  const lanes: Lane[] = [];
  let since = Date.parse(job.createdAt);
  let claim: JobEvent | undefined;
  for (const event of events) {
    const at = Date.parse(event.at);
    if (event.type === "Claimed") {
      lanes.push({ attempt: event.attempt, node: text(event.data.node), outcome: "", parts: [wait(lanes.length ? "retry" : "queued", since, at)] });
      claim = event;
    } else if (ENDS.has(event.type)) {
      const lane = lanes.at(-1);
      if (claim && lane) {
        lane.outcome = event.type;
        lane.parts.push(...worked(Date.parse(claim.at), at, event, event.type === "Succeeded" ? graph : undefined));
      }
      claim = undefined;
      since = at;
    }
  }
  const open = lanes.at(-1);
  if (claim && open) open.parts.push({ name: "render", start: Date.parse(claim.at), end: until, isWait: false });
  else if (!job.finishedAt) lanes.push({ attempt: 0, node: "", outcome: "", parts: [wait(job.status === "waiting" ? "depends" : lanes.length ? "retry" : "queued", since, until)] });
  else if (!lanes.length) lanes.push({ attempt: 0, node: "", outcome: job.status, parts: [wait("queued", since, Date.parse(job.finishedAt))] });
  if (deliveredAt !== null && job.finishedAt && deliveredAt > Date.parse(job.finishedAt)) {
    lanes.at(-1)?.parts.push({ name: "webhook", start: Date.parse(job.finishedAt), end: deliveredAt, isWait: false });
  }
  return lanes;
}

function wait(name: PartName, start: number, end: number): Part {
  return { name, start, end: Math.max(start, end), isWait: true };
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function worked(start: number, end: number, event: JobEvent, graph: Graph | undefined): Part[] {
  const stages = (Array.isArray(event.data.stages) ? event.data.stages : []) as StageTime[];
  const uploadMs = Number(event.data.uploadMs ?? 0);
  const parts: Part[] = [];
  for (const { stage, atMs, ms } of stages) {
    const name = STAGES[stage];
    if (!name) continue;
    const part = { name, start: start + atMs - ms, end: start + atMs, isWait: false };
    if (name === "render") parts.push(...rendered(part, graph));
    else if (name === "post" && uploadMs > 0) parts.push({ ...part, end: part.end - uploadMs }, { ...part, name: "upload", start: part.end - uploadMs });
    else parts.push(part);
  }
  return parts.length ? parts : [{ name: "render", start, end, isWait: false }];
}

/** Split a render into loading models, sampling and the rest, where the graph has the times of its nodes. */
function rendered(part: Part, graph: Graph | undefined): Part[] {
  const took = (pattern: RegExp) => (graph?.nodes ?? []).filter((node) => pattern.test(node.classType)).reduce((sum, node) => sum + (node.ms ?? 0), 0);
  const load = took(/loader/i);
  const steps = took(/sampler/i);
  const whole = part.end - part.start;
  if (!graph?.timed || load + steps <= 0 || load + steps > whole * 1.05) return [part];
  const loadEnd = part.start + load;
  const stepsEnd = Math.min(part.end, loadEnd + steps);
  return [
    { ...part, name: "load" as const, end: loadEnd },
    { ...part, name: "steps" as const, start: loadEnd, end: stepsEnd },
    { ...part, name: "render" as const, start: stepsEnd },
  ].filter(({ start, end }) => end > start);
}
