/** What the canvas asks of a drawing's shapes, without a page: how wires are followed, and what badges say. */
import assert from "node:assert/strict";
import test from "node:test";
import { COLORS } from "../../web/shapes/badge.mjs";
import { collect } from "../../web/shapes/collect.mjs";
import { shortCount, together, wordsOf } from "../../web/shapes/words.mjs";

const TENSOR = "VISIONSMITH_TENSOR";

/** A graph of [id, type, {inputs, widgets, mode, …}]; an input is [name, link, type]. A link is [id, from, slot]. */
function graphOf(nodes, links = []) {
  const graph = { nodes: [], getNodeById: (id) => graph.nodes.find((node) => node.id === id), getLink: (id) => graph.wires.get(id) };
  graph.wires = new Map(links.map(([id, origin_id, origin_slot]) => [id, { origin_id, origin_slot }]));
  for (const [id, type, more = {}] of nodes) {
    const node = Object.assign(more.plain ? {} : { comfyClass: `Visionsmith${type}` }, { id, type, title: type, mode: 0, graph, outputs: [{ type: TENSOR }], ...more });
    node.inputs = (more.inputs ?? []).map(([name, link = null, kind = TENSOR]) => ({ name, link, type: kind }));
    graph.nodes.push(node);
  }
  return graph;
}

const inputsOf = (graph, id) => collect(graph).prompt[id].inputs;

test("widgets and wires are taken, what is no setting is not", () => {
  const widgets = [{ name: "out", value: 3 }, { name: "chart", value: 1, options: { serialize: false } }, { name: "list", value: [1] }];
  const graph = graphOf([[1, "In"], [2, "Conv", { inputs: [["tensor", 5], ["other"]], widgets }], [3, "KSampler", { plain: true }]], [[5, 1, 0]]);
  assert.deepEqual(Object.keys(collect(graph).prompt), ["1", "2"]);
  assert.deepEqual(inputsOf(graph, "2"), { out: 3, tensor: ["1", 0] });
});

test("bypassed nodes pass on, muted ones do not, reroutes are no nodes", () => {
  const bypassed = graphOf([[1, "In"], [2, "Conv", { mode: 4, inputs: [["tensor", 5]] }], [3, "Conv", { inputs: [["tensor", 6]] }]], [[5, 1, 0], [6, 2, 0]]);
  assert.deepEqual(inputsOf(bypassed, "3"), { tensor: ["1", 0] });
  assert.equal("2" in collect(bypassed).prompt, false);
  const muted = graphOf([[1, "In", { mode: 2 }], [3, "Conv", { inputs: [["tensor", 6]] }]], [[6, 1, 0]]);
  assert.deepEqual(inputsOf(muted, "3"), {});
  const reroute = { plain: true, isVirtualNode: true, inputs: [["", 5, "*"]], outputs: [{ type: "*" }] };
  assert.deepEqual(inputsOf(graphOf([[1, "In"], [2, "Reroute", reroute], [3, "Conv", { inputs: [["tensor", 6]] }]], [[5, 1, 0], [6, 2, 0]]), "3"), { tensor: ["1", 0] });
});

test("primitives of both kinds, and other nodes, feed widgets", () => {
  const widgets = [{ name: "value", value: 7 }];
  const layer = (source) => graphOf([[1, ...source], [2, "Conv", { widgets: [{ name: "out", value: 3 }], inputs: [["out", 5, "INT"]] }]], [[5, 1, 0]]);
  assert.deepEqual(inputsOf(layer(["PrimitiveNode", { plain: true, isVirtualNode: true, widgets }]), "2"), { out: 7 });
  const int = layer(["PrimitiveInt", { plain: true, widgets }]);
  assert.deepEqual(inputsOf(int, "2"), { out: ["1", 0] });
  assert.deepEqual(inputsOf(int, "1"), { value: 7 });
  assert.deepEqual(Object.keys(collect(layer(["Maths", { plain: true, widgets }])).prompt), ["2"]);
});

test("subgraphs: in from outside, out of the inside, values on their own node, twice the same one", () => {
  const inner = graphOf([[7, "Conv", { inputs: [["tensor", 8], ["out", 9, "INT"]], widgets: [{ name: "out", value: 1 }] }]], [[8, -10, 0], [9, -10, 1]]);
  inner.outputs = [{ linkIds: [10] }];
  inner.wires.set(10, { origin_id: 7, origin_slot: 0 });
  const outer = { plain: true, subgraph: inner, inputs: [["tensor", 5], ["out", null, "INT"]], widgets: [{ name: "out", value: 24 }] };
  const second = { ...outer, inputs: [["tensor", 6], ["out", null, "INT"]], widgets: [{ name: "out", value: 48 }] };
  const graph = graphOf([[1, "In"], [2, "Sub", outer], [3, "Sub", second], [4, "Linear", { inputs: [["tensor", 11]] }]], [[5, 1, 0], [6, 2, 0], [11, 3, 0]]);
  assert.deepEqual(inputsOf(graph, "2:7"), { tensor: ["1", 0], out: 24 });
  assert.deepEqual(inputsOf(graph, "3:7"), { tensor: ["2:7", 0], out: 48 });
  assert.deepEqual(inputsOf(graph, "4"), { tensor: ["3:7", 0] });
});

test("wires that go round in a circle come to an end", () => {
  const reroute = (link) => ({ plain: true, isVirtualNode: true, inputs: [["", link, "*"]], outputs: [{ type: "*" }] });
  const graph = graphOf([[1, "Reroute", reroute(6)], [2, "Reroute", reroute(5)], [3, "Conv", { inputs: [["tensor", 5]] }]], [[5, 1, 0], [6, 2, 0]]);
  assert.deepEqual(inputsOf(graph, "3"), {});
});

test("badges say shape, parameters and multiply-adds", () => {
  const told = { shape: [32, 14, 14], parameters: 18432, multiply_adds: 3612672 };
  assert.equal(wordsOf(told).text, "32 × 14 × 14 · 18.4k params · 3.6M MACs");
  assert.equal(wordsOf(told).long, "32 × 14 × 14, 18,432 parameters, 3,612,672 multiply-adds for one sample");
  assert.equal(wordsOf({ shape: [10], parameters: 0, multiply_adds: 0 }).text, "10");
  assert.deepEqual([0, 950, 1500, 4.1e9].map(shortCount), ["0", "950", "1.5k", "4.1G"]);
  assert.equal(together([told, { ...told, shape: [8] }]).text, "32 × 14 × 14 or 8");
  assert.equal(together([told, { error: "no.", input: "tensor" }]).kind, "wrong");
  assert.equal(together([told, { waits: "known after a run" }]).kind, "waits");
});

/** WCAG's relative luminance of #rrggbb. */
function luminance(color) {
  const [red, green, blue] = [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16) / 255).map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

test("badges can be read: 4.5 to 1 (WCAG AA), whatever the theme", () => {
  for (const [kind, colors] of Object.entries(COLORS)) {
    const [light, dark] = colors.map(luminance).sort((a, b) => b - a);
    assert.ok((light + 0.05) / (dark + 0.05) >= 4.5, kind);
  }
});
