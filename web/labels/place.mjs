/** Which node is meant, where a subgraph is used more than once, and which widget gives a setting of it. */
import { placesOf } from "../chart/places.mjs";

const SUBGRAPH_INPUT = -10; // the id that LiteGraph has for what comes in from around a subgraph

/** Subgraph → the node through which a person went into it last. @typedef {WeakMap<any, any>} Entered */

/**
 * The names that a run may have for a node: `5`, or `12:5` and `13:5` for a node 5 in a subgraph that nodes 12 and 13 stand for. Where a
 * person went into the subgraph through one of these, its name only.
 * @param {any} root the outermost graph @param {any} node @param {Entered} entered @returns {string[]}
 */
export function namesOf(root, node, entered) {
  const names = [...placesOf(root, (one) => one === node).keys()];
  let name = String(node.id);
  for (let graph = node.graph; graph && graph !== root; ) {
    const outer = entered.get(graph);
    if (!outer) return names;
    name = `${outer.id}:${name}`;
    graph = outer.graph;
  }
  return names.includes(name) ? [name] : names;
}

/**
 * The widget that gives a setting of a node: its own, or one that is wired to it, also from around its subgraphs; null where none does.
 * @param {any} root @param {string} name of the node @param {string} setting @returns {{node: any, widget: any} | null}
 */
export function widgetOf(root, name, setting) {
  /** @type {any[]} */
  const chain = [];
  for (const id of name.split(":")) {
    const graph = chain.length ? chain[chain.length - 1].subgraph : root;
    chain.push(graph?.getNodeById(id) ?? graph?.getNodeById(Number(id)));
  }
  let wanted = setting;
  for (let node = chain.pop(); node; node = chain.pop()) {
    const current = node;
    const input = current.inputs?.find((/** @type {any} */ one) => one.name === wanted);
    const link = input?.link === null || input?.link === undefined ? null : current.graph.getLink(input.link);
    if (!link) return given(current, wanted);
    if (Number(link.origin_id) !== SUBGRAPH_INPUT) return given(current.graph.getNodeById(link.origin_id), "value");
    wanted = current.graph.inputs[link.origin_slot].name;
  }
  return null;
}

/** @param {any} node @param {string} name */
function given(node, name) {
  const widget = node?.widgets?.find((/** @type {any} */ one) => one.name === name);
  return widget ? { node, widget } : null;
}
