/** The chart of a training without a page: what is kept and drawn of many points, axes, zoom, and which node an event is for. */
import assert from "node:assert/strict";
import test from "node:test";
import { Curve, drawn, halved, nearest, smoothed } from "../../web/chart/curve.mjs";
import { nodeAt, placesOf } from "../../web/chart/places.mjs";
import { exact, lastStep, linearTicks, place, scaleFor, short, ticks, zoomed } from "../../web/chart/scale.mjs";

test("points become lines, in order and without what cannot be drawn", () => {
  const curve = new Curve();
  curve.add([[1, 0.9, null, null, null], [2, 0.8, null, null, null], [2, 0.8, 0.7, 0.5, 0.6], [2, 0.1, null, null, null]]);
  curve.add([[3, null, null, null], [4, 0.6, null, null], [4, 0.6, 0.5, null]]);
  const [train, val, learned, metric, ...more] = curve.lines("accuracy");
  assert.deepEqual(train.values, [[1, 0.9], [2, 0.8], [4, 0.6]]);
  assert.deepEqual(val.values, [[2, 0.7], [4, 0.5]]);
  assert.deepEqual([metric.label, metric.values], ["val accuracy", [[2, 0.5]]]);
  assert.deepEqual([learned.key, learned.pane, learned.label, learned.values], ["learned", "metric", "train accuracy", [[2, 0.6]]]);
  assert.deepEqual(more, []);
  assert.deepEqual(curve.lines("loss").map((line) => line.key), ["train", "val"]);
  assert.deepEqual(new Curve().lines("loss"), []);
});

test("without a validation split the metric of the training split is drawn alone", () => {
  const curve = new Curve();
  curve.add([[5, 0.9, null, null, null], [5, 0.8, null, null, 0.3]]);
  assert.deepEqual(curve.lines("accuracy").map((line) => [line.key, line.values]), [["train", [[5, 0.9]]], ["learned", [[5, 0.3]]]]);
});

test("epochs shorter than the time between two events give the line of the training loss", () => {
  const curve = new Curve();
  curve.add([[1, 0.9, null, null], ...[2, 3, 4].map((step) => [step, 0.5, 0.4, 0.3])]);
  assert.equal(curve.lines("loss")[0].values.length, 3);
});

test("a million points stay a few thousand, the last among them", () => {
  const curve = new Curve();
  for (let step = 1; step <= 1_000_000; step += 1) curve.add([[step, Math.random(), null, null]]);
  assert.ok(curve.steps.length <= 2000 && curve.steps.length > 900);
  assert.equal(curve.steps[curve.steps.length - 1][0], 1_000_000);
  assert.deepEqual(halved([1, 2, 3, 4, 5]), [1, 3, 5]);
});

test("what is drawn keeps peaks and reaches the edges of the view", () => {
  const values = Array.from({ length: 5000 }, (_, step) => [step, step === 2345 ? 9 : step === 2346 ? -9 : 0]);
  const few = drawn(values, [0, 5000], 100);
  assert.ok(few.length <= 400);
  assert.deepEqual([Math.max(...few.map((v) => v[1])), Math.min(...few.map((v) => v[1]))], [9, -9]);
  assert.deepEqual(drawn(values, [10, 12], 100).map((v) => v[0]), [9, 10, 11, 12, 13]);
  assert.deepEqual(drawn(values, [9000, 9100], 100), [[4999, 0]]);
  assert.deepEqual(drawn([], [0, 1], 100), []);
});

test("the average keeps what is constant and calms what is not", () => {
  assert.deepEqual(smoothed([[1, 4], [2, 4], [3, 4]], 0.9).map(([step, value]) => [step, Number(value.toFixed(9))]), [[1, 4], [2, 4], [3, 4]]);
  const noise = Array.from({ length: 200 }, (_, step) => [step, step % 2]);
  assert.ok(smoothed(noise, 0.9).slice(50).every(([, value]) => Math.abs(value - 0.5) < 0.06));
  assert.deepEqual(smoothed([], 0.9), []);
});

test("the nearest value is found", () => {
  const values = [[2, 1], [4, 2], [9, 3]];
  assert.deepEqual([0, 2.9, 3.1, 6, 7, 99].map((step) => nearest(values, step)?.[0]), [2, 2, 4, 4, 9, 9]);
  assert.equal(nearest([], 3), undefined);
  assert.deepEqual(nearest([[5, 1]], 3), [5, 1]);
});

test("scales: linear, logarithmic, flat, empty", () => {
  assert.deepEqual(scaleFor([1, 3], false), { low: 1, high: 3, log: false });
  const log = scaleFor([0.01, 1, -5, 0], true);
  assert.equal(place(log, 0.1).toFixed(6), "0.500000");
  assert.equal(place(log, 0), null);
  const flat = scaleFor([2, 2], false);
  assert.ok(Math.abs(place(flat, 2) - 0.5) < 1e-9);
  assert.ok(scaleFor([0, 0], false).high > 0);
  assert.equal(scaleFor([], false), null);
  assert.equal(scaleFor([0, -1], true), null);
});

test("round numbers stand beside the axes", () => {
  assert.deepEqual(linearTicks(0, 1, 5), [0, 0.2, 0.4, 0.6, 0.8, 1]);
  assert.deepEqual(linearTicks(0.13, 0.52, 4), [0.2, 0.3, 0.4, 0.5]);
  assert.deepEqual(ticks({ low: 0.001, high: 10, log: true }, 4), [0.001, 0.01, 0.1, 1, 10]);
  assert.deepEqual(ticks({ low: 0.5, high: 5, log: true }, 5), [0.5, 1, 2, 5]);
  for (const [low, high] of [[1e-7, 3e-7], [0, 1e9], [-5, 5]]) assert.ok(linearTicks(low, high, 4).length <= 7);
  assert.deepEqual([0, 1500, 0.00012, 12.3456, 1e7].map(short), ["0", "1,500", "1.2e-4", "12.3", "1.0e+7"]);
  assert.deepEqual([0.123456, 12345.6, 0].map(exact), ["0.1235", "1.235e+4", "0.000"]);
});

test("the axis runs ahead of a training in round steps, and ends where it ended", () => {
  assert.deepEqual([1, 30, 95, 460, 950].map((step) => lastStep(step, 1000, true)), [20, 50, 200, 1000, 1000]);
  assert.equal(lastStep(7, 12, true), 12);
  assert.equal(lastStep(773, 57_000, false), 773);
  assert.equal(lastStep(0, 0, false), 1);
});

test("zooming stays inside and keeps the place that is pointed at", () => {
  assert.deepEqual(zoomed([0, 100], 50, 0.5, 100), [25, 75]);
  assert.deepEqual(zoomed([0, 100], 0, 0.5, 100), [0, 50]);
  assert.deepEqual(zoomed([80, 100], 100, 2, 100), [60, 100]);
  assert.deepEqual(zoomed([10, 14], 12, 0.1, 100), [10, 14]);
  assert.deepEqual(zoomed([10, 90], 50, 9, 100), [0, 100]);
});

test("an event finds its node, also inside of subgraphs that are used twice", () => {
  const graph = (nodes) => ({ nodes, getNodeById: (id) => nodes.find((node) => node.id === Number(id)) });
  const inner = graph([{ id: 5, comfyClass: "T" }]);
  const root = graph([{ id: 5, comfyClass: "other" }, { id: 12, subgraph: inner }, { id: 13, subgraph: inner }, { id: 7, comfyClass: "T" }]);
  assert.equal(nodeAt(root, "12:5"), inner.nodes[0]);
  assert.equal(nodeAt(root, "7"), root.nodes[3]);
  assert.equal(nodeAt(root, "99"), undefined);
  assert.equal(nodeAt(root, "7:5"), undefined);
  assert.deepEqual([...placesOf(root, (node) => node.comfyClass === "T").keys()], ["12:5", "13:5", "7"]);
  assert.equal(placesOf(undefined, () => true).size, 0);
});

test("values that differ by rounding only have an axis", () => {
  for (const log of [false, true]) {
    const found = ticks(scaleFor([1, 0.9999999999999999], log), 6);
    assert.ok(found.length >= 1 && found.length < 20);
  }
  assert.deepEqual(scaleFor([0, 0], false), { low: -0.1, high: 0.1, log: false });
});
