/**
 * The layers of a workflow as a prompt in API format, as a run would be sent it: through reroutes, bypassed and muted nodes, primitives
 * and the walls of subgraphs. ComfyUI's own graphToPrompt would do, but it serializes everything and lets widgets upload their files.
 *
 * @typedef {{node: any, around: any[]}} Place a node, and the subgraph nodes that it lies in, from the outermost on
 * @typedef {{id: string, slot: number, place: Place} | {value: unknown}} Source what an input reads
 * @typedef {Record<string, {class_type: string, inputs: Record<string, unknown>, _meta: {title: string}}>} Prompt
 */

const MUTED = 2;
const BYPASSED = 4;
const SUBGRAPH_INPUT = -10;
const DEEPEST = 20; // subgraphs in subgraphs
const FARTHEST = 200; // steps along one wire
/** ComfyUI's nodes that give the value of their widget. */
const VALUES = new Set(["PrimitiveInt", "PrimitiveFloat", "PrimitiveString", "PrimitiveStringMultiline", "PrimitiveBoolean"]);
const OURS = /^Visionsmith/;
/** What of the menu Network has a shape; menus themselves are named in the person's language. */
const NETWORKS = new Set(["VisionsmithBuildNetwork", "VisionsmithLoadNetwork"]);

/** Whether a node is part of a drawing, so that it has a shape. @param {any} node */
export function isLayer(node) {
  const type = String(node.comfyClass ?? node.type ?? "");
  return NETWORKS.has(type) || (OURS.test(type) && Boolean(node.outputs?.some((/** @type {any} */ output) => output.type === "VISIONSMITH_TENSOR")));
}

/** The id of a node in a run. @param {Place} place */
export const idOf = ({ node, around }) => [...around, node].map((one) => one.id).join(":");

/** Every active node of a graph and of the subgraphs in it. @param {any} graph @param {any[]} [around] @returns {Generator<Place>} */
export function* placesOf(graph, around = []) {
  for (const node of graph.nodes) {
    if (node.mode === MUTED || node.mode === BYPASSED) continue;
    yield { node, around };
    if (node.subgraph && around.length < DEEPEST) yield* placesOf(node.subgraph, [...around, node]);
  }
}

/** @param {any} graph the root @returns {{prompt: Prompt, places: Map<string, Place>}} */
export function collect(graph) {
  /** @type {Prompt} */
  const prompt = {};
  /** @type {Map<string, Place>} */
  const places = new Map();
  for (const place of placesOf(graph)) {
    if (!isLayer(place.node)) continue;
    places.set(idOf(place), place);
    add(prompt, place);
  }
  return { prompt, places };
}

/** @param {Prompt} prompt @param {Place} place */
function add(prompt, place) {
  const { node } = place;
  const id = idOf(place);
  if (prompt[id]) return;
  /** @type {Record<string, unknown>} */
  const inputs = {};
  prompt[id] = { class_type: node.comfyClass ?? node.type, inputs, _meta: { title: String(node.title ?? "").slice(0, 40) } };
  for (const widget of node.widgets ?? []) {
    if (!widget.name || widget.options?.serialize === false) continue;
    if (["string", "number", "boolean"].includes(typeof widget.value)) inputs[widget.name] = widget.value;
  }
  for (const [slot, input] of (node.inputs ?? []).entries()) {
    const source = sourceOf(place, slot);
    if (!source) continue;
    if ("value" in source) {
      inputs[input.name] = source.value;
      continue;
    }
    inputs[input.name] = [source.id, source.slot];
    if (VALUES.has(source.place.node.type)) add(prompt, source.place);
  }
}

/**
 * What an input reads; undefined where nothing is wired in, or only what is muted.
 * @param {Place} place @param {number} slot @param {string} [type] of the input at the end of the wire @param {number} [steps]
 * @returns {Source | undefined}
 */
function sourceOf({ node, around }, slot, type, steps = 0) {
  const input = node.inputs?.[slot];
  const link = linkOf(node.graph, input?.link);
  if (!link || steps > FARTHEST) return undefined;
  const outer = around.at(-1);
  if (outer && Number(link.origin_id) === SUBGRAPH_INPUT) return fromOutside(outer, around.slice(0, -1), link.origin_slot, type ?? input.type, steps + 1);
  const origin = node.graph.getNodeById(link.origin_id);
  return origin ? givenBy({ node: origin, around }, link.origin_slot, type ?? input.type, steps + 1) : undefined;
}

/** @param {any} graph @param {unknown} id */
const linkOf = (graph, id) => (id === null || id === undefined ? undefined : (graph?.getLink?.(id) ?? graph?.links?.[/** @type {any} */ (id)]));

/**
 * What comes in from around a subgraph: along a wire, or from the widget that stands on the subgraph's node.
 * @param {any} outer @param {any[]} around @param {number} slot @param {string} type @param {number} steps @returns {Source | undefined}
 */
function fromOutside(outer, around, slot, type, steps) {
  const input = outer.inputs?.[slot];
  if (input && input.link !== null && input.link !== undefined) return sourceOf({ node: outer, around }, slot, type, steps);
  const widget = outer.widgets?.find((/** @type {any} */ one) => one.name === (input?.widget?.name ?? input?.name));
  return widget ? { value: widget.value } : undefined;
}

/**
 * The node behind an output that really gives something.
 * @param {Place} place @param {number} slot @param {string} type @param {number} [steps] @returns {Source | undefined}
 */
export function givenBy(place, slot, type, steps = 0) {
  const { node, around } = place;
  if (node.mode === MUTED || steps > FARTHEST) return undefined;
  if (node.mode === BYPASSED) return sourceOf(place, passedBy(node, slot, type), type, steps + 1);
  if (node.subgraph) {
    const link = linkOf(node.subgraph, node.subgraph.outputs?.[slot]?.linkIds?.[0]);
    if (!link) return undefined;
    if (Number(link.origin_id) === SUBGRAPH_INPUT) return fromOutside(node, around, link.origin_slot, type, steps + 1);
    const inner = node.subgraph.getNodeById(link.origin_id);
    return inner ? givenBy({ node: inner, around: [...around, node] }, link.origin_slot, type, steps + 1) : undefined;
  }
  if (!node.isVirtualNode) return { id: idOf(place), slot, place };
  const elsewhere = node.resolveVirtualOutput?.(slot);
  if (elsewhere) return givenBy({ node: elsewhere.node, around: elsewhere.node.graph === node.graph ? around : [] }, elsewhere.slot, type, steps + 1);
  if (node.inputs?.length) return sourceOf(place, Math.min(slot, node.inputs.length - 1), type, steps + 1);
  return node.widgets?.length ? { value: node.widgets[0].value } : undefined;
}

/** Which input a bypassed node passes on: the one beside the output if it fits, else the first that does. @param {any} node @param {number} slot @param {string} type */
function passedBy(node, slot, type) {
  const wanted = type === "*" || type === "" ? node.outputs?.[slot]?.type : type;
  if (node.inputs?.[slot]?.type === wanted) return slot;
  return (node.inputs ?? []).findIndex((/** @type {any} */ input) => input.type === wanted);
}
