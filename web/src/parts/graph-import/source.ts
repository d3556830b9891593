/** A dropped file as the source of a proposal, and a graph with other values. */
import type { Schema } from "~/api/http";

export type FoundInput = Schema<"FoundInput">;
export type Proposal = Schema<"WorkflowProposal">;
type Body = Schema<"ProposalBody">;

/** What a proposal is made of: one of a graph, the beginning of a PNG, or a manifest. */
export type Source = Pick<Body, "graph" | "picture" | "manifest">;

/** The metadata of a PNG stand before its pixels. */
const HEAD_BYTES = 2_000_000;

/** Return the source in a file; null when it is neither a PNG nor JSON. */
export async function readSource(file: File): Promise<Source | null> {
  const head = new Uint8Array(await file.slice(0, 4).arrayBuffer());
  if (head[0] === 0x89 && head[1] === 0x50) return { picture: await base64(file.slice(0, HEAD_BYTES)) };
  try {
    // ComfyUI writes NaN, which is no JSON.
    const graph: unknown = JSON.parse((await file.text()).replace(/([[:,]\s*)NaN\b/g, "$1null"));
    return typeof graph === "object" && graph !== null ? { graph: graph as Record<string, unknown> } : null;
  } catch {
    return null;
  }
}

/** Return a blob's bytes in base64. */
export async function base64(blob: Blob): Promise<string> {
  const url = await new Promise<string>((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result));
    reader.onerror = () => reject(new Error(String(reader.error)));
    reader.readAsDataURL(blob);
  });
  return url.slice(url.indexOf(",") + 1);
}

/** Return a name for the address, made of the file's: "My graph (2).json" becomes "my-graph-2". */
export function nameOf(file: File): string {
  const stem = file.name.replace(/\.[a-z0-9]+$/i, "").toLowerCase();
  return stem.replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 64) || "my-workflow";
}

type Node = { inputs: Record<string, unknown> };

/** Return a copy of the graph with the inputs' defaults in their places; LoRAs and empty values are left out. */
export function withValues(graph: Record<string, unknown>, inputs: FoundInput[]): Record<string, unknown> {
  const copy = structuredClone(graph) as Record<string, Node>;
  for (const { type, targets, default: value } of inputs) {
    if (type === "loras" || value === undefined || value === null || value === "") continue;
    for (const [id, name] of targets) {
      const node = id === undefined ? undefined : copy[id];
      if (node && name !== undefined) node.inputs[name] = value;
    }
  }
  return copy;
}

/** Return the value of the graph at an input's first place: what holds while it has no default. */
export function valueInGraph(graph: Record<string, unknown>, input: FoundInput): unknown {
  const [id, name] = input.targets[0] ?? [];
  const node = id === undefined ? undefined : (graph[id] as Node | undefined);
  const value = name === undefined ? undefined : node?.inputs[name];
  return Array.isArray(value) ? undefined : value;
}
