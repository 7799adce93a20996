/** Which picture file is wired into a node, found by walking up the graph; nothing is run. */

const BYPASSED = 4;
const MUTED = 2;
const SUBGRAPH_INPUT = -10;
const LOADERS = ["LoadImage", "LoadImageOutput"];
const FARTHEST = 100;

/**
 * The node and output that a link comes from, through reroutes, bypassed nodes and the walls of subgraphs.
 * @param {any} graph @param {number | null | undefined} linkId @param {number} [steps] @returns {any} the node, or null
 */
export function origin(graph, linkId, steps = 0) {
  if (linkId === null || linkId === undefined || steps > FARTHEST) return null;
  const link = graph.getLink?.(linkId) ?? graph.links?.[linkId];
  if (!link) return null;
  if (Number(link.origin_id) === SUBGRAPH_INPUT) return fromOutside(graph, link.origin_slot, steps + 1);
  const node = graph.getNodeById(link.origin_id);
  if (!node || node.mode === MUTED) return null;
  if (node.mode === BYPASSED) {
    const passed = node.inputs?.find((/** @type {any} */ input) => input.type === node.outputs[link.origin_slot]?.type);
    return origin(graph, passed?.link, steps + 1);
  }
  if (node.type === "Reroute") return origin(graph, node.inputs?.[0]?.link, steps + 1);
  if (node.subgraph) return origin(node.subgraph, node.subgraph.outputs[link.origin_slot]?.linkIds?.[0], steps + 1);
  return node;
}

/** What is wired to an input of the node that stands for a subgraph. @param {any} subgraph @param {number} slot @param {number} steps */
function fromOutside(subgraph, slot, steps) {
  const root = subgraph.rootGraph;
  for (const graph of [root, ...(root?.subgraphs?.values() ?? [])]) {
    const node = graph?.nodes.find((/** @type {any} */ one) => one.subgraph === subgraph);
    if (node) return origin(graph, node.inputs?.[slot]?.link, steps);
  }
  return null;
}

/** The query of ComfyUI's /view for a value of Load Image, such as "parts/a.png [output]". @param {string} value */
export function viewQuery(value) {
  const [, path, type] = /^(.*?)(?: \[(input|output|temp)\])?$/s.exec(value) ?? [];
  const cut = path.lastIndexOf("/");
  return new URLSearchParams({ filename: path.slice(cut + 1), subfolder: path.slice(0, Math.max(0, cut)), type: type ?? "input" }).toString();
}

/**
 * The query for the picture that Load Image puts into an input; null where something else is wired, which only a run can show.
 * @param {any} node @param {string} name the input's name
 */
export function loadedPicture(node, name) {
  const input = node.inputs?.find((/** @type {any} */ one) => one.name === name);
  const source = node.graph && origin(node.graph, input?.link);
  if (!source || !LOADERS.includes(source.type)) return null;
  if (source.inputs?.some((/** @type {any} */ one) => one.name === "image" && one.link !== null && one.link !== undefined)) return null;
  const value = source.widgets?.find((/** @type {any} */ one) => one.name === "image")?.value;
  return typeof value === "string" && value ? viewQuery(value) : null;
}
