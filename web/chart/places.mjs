/** Nodes by the names that the server has for them: `5`, or `12:5` for a node 5 in the subgraph that node 12 stands for. */

/** @param {any} root the outermost graph @param {string} id @returns {any} the node, or undefined */
export function nodeAt(root, id) {
  let graph = root;
  let node;
  for (const part of String(id).split(":")) {
    node = graph?.getNodeById?.(part) ?? graph?.getNodeById?.(Number(part));
    graph = node?.subgraph;
  }
  return node ?? undefined;
}

/**
 * The nodes of some types in a graph and in its subgraphs, by every name that they have; one in a subgraph that is used twice has two.
 * @param {any} root @param {(node: any) => boolean} wanted @returns {Map<string, any>}
 */
export function placesOf(root, wanted) {
  /** @type {Map<string, any>} */
  const found = new Map();
  const visit = (/** @type {any} */ graph, /** @type {string} */ prefix) => {
    for (const node of graph?.nodes ?? []) {
      if (node.subgraph) visit(node.subgraph, `${prefix}${node.id}:`);
      else if (wanted(node)) found.set(`${prefix}${node.id}`, node);
    }
  };
  visit(root, "");
  return found;
}
