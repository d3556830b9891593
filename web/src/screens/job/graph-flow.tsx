/** The graph of a job drawn by React Flow, with the time of each node. It is a chunk of its own. */
import { Background, Controls, Handle, type Node, type NodeProps, Position, ReactFlow } from "@xyflow/react";
import "@xyflow/react/dist/style.css";
import { useMemo } from "preact/hooks";
import type { Schema } from "~/api/http";
import { duration, useMessages } from "~/app/i18n";
import { placesOf } from "./graph-layout";
import { messages } from "./messages";

type Graph = Schema<"JobGraph">;
type GraphNode = Graph["nodes"][number];
type Drawn = Node<{ node: GraphNode; share: number }, "timed">;

function TimedNode({ data: { node, share } }: NodeProps<Drawn>) {
  const t = useMessages(messages);
  return (
    <div class="job-node" title={Object.entries(node.values).map(([name, value]) => `${name}: ${value}`).join("\n")}>
      <Handle type="target" position={Position.Left} isConnectable={false} />
      <strong>{node.title}</strong>
      <span class="job-node-time">{node.cached ? t("cached") : node.ms === null ? "" : duration(node.ms / 1000)}</span>
      <span class="job-node-share" style={{ width: `${Math.round(share * 100)}%` }} />
      <Handle type="source" position={Position.Right} isConnectable={false} />
    </div>
  );
}

const NODE_TYPES = { timed: TimedNode };

export default function GraphFlow({ graph }: { graph: Graph }) {
  const { nodes, edges } = useMemo(() => {
    const places = placesOf(graph);
    const longest = Math.max(1, ...graph.nodes.map((node) => node.ms ?? 0));
    return {
      nodes: graph.nodes.map((node): Drawn => ({ id: node.id, type: "timed", position: places.get(node.id) ?? { x: 0, y: 0 }, data: { node, share: (node.ms ?? 0) / longest } })),
      edges: graph.links.map((link) => ({ id: `${link.source}.${link.output}-${link.target}.${link.input}`, source: link.source, target: link.target })),
    };
  }, [graph]);
  return (
    <div class="job-flow">
      <ReactFlow nodes={nodes} edges={edges} nodeTypes={NODE_TYPES} nodesDraggable={false} nodesConnectable={false} nodesFocusable={false} edgesFocusable={false}
        minZoom={0.1} preventScrolling={false} proOptions={{ hideAttribution: true }} fitView>
        <Background />
        <Controls showInteractive={false} />
      </ReactFlow>
    </div>
  );
}
