/** What panels work out before they draw it. */
import assert from "node:assert/strict";
import test from "node:test";
import { barWords, barsOf, firstDecade, lengthOf } from "../../web/views/balance.mjs";
import { pairWords } from "../../web/views/compare.mjs";
import { cellColors, cellWords, contrast, examplesOf } from "../../web/views/confusion.mjs";
import { percent } from "../../web/views/dom.mjs";
import { joined, legendOf } from "../../web/views/gallery.mjs";
import { markdown, sorted } from "../../web/views/results.mjs";
import { classChoices, fitting, rangeWords } from "../../web/views/samples.mjs";

test("shares are told from none and from all", () => {
  const told = { 0: "0 %", 1: "100 %", 0.0003: "0.03 %", 0.000314159: "0.0314 %", 0.5: "50 %", 0.98321: "98.3 %", 0.99969: "99.969 %", 0.9999994: "99.99994 %" };
  for (const [share, words] of Object.entries(told)) assert.equal(percent(Number(share)), words);
});

const BALANCE = {
  unit: "pixels",
  classes: ["good", "scratch", "dent"],
  colors: ["#000000", "#e64b35", "#4dbbd5"],
  splits: { train: { amounts: [99_969, 30, 1], pictures: [10, 4, 0], count: 10 }, val: { amounts: [0, 0, 0], pictures: [0, 0, 0], count: 0 } },
};

test("a class of 0.03 % has a bar that can be seen", () => {
  const bars = barsOf(BALANCE, "train");
  const first = firstDecade(bars);
  assert.equal(first, -6);
  assert.ok(lengthOf(bars[1].share, first) > 0.3 && lengthOf(bars[1].share, 0) < 0.001);
  assert.equal(lengthOf(1, first), 1);
  assert.equal(lengthOf(0, first), 0);
  assert.deepEqual(barsOf(BALANCE, "train", true).map((bar) => bar.name), ["dent", "scratch", "good"]);
  assert.equal(bars[0].color, "#8a8f98"); // black would not be seen
  assert.equal(barWords(bars[1], BALANCE, "train"), "scratch: 30 pixels, 0.03 %, in 4 of 10 pictures (40 %)");
});

test("a split without anything has no bars, and samples are counted without pictures", () => {
  const bars = barsOf(BALANCE, "val");
  assert.ok(bars.every((bar) => bar.share === 0 && lengthOf(bar.share, firstDecade(bars)) === 0));
  const samples = { ...BALANCE, unit: "samples", colors: [] };
  assert.equal(barWords(barsOf(samples, "train")[1], samples, "train"), "scratch: 30 samples, 0.03 % of train");
});

test("cells of the matrix say all, and their text can be read at every share", () => {
  const matrix = { classes: ["good", "dent"], numbers: [0, 2], counts: [[90, 10], [0, 0]], totals: [100, 0], unit: "pixels", of: 3 };
  assert.equal(cellWords(matrix, 0, 1), "true good, predicted dent: 10 pixels, 10 % of true good");
  assert.equal(cellWords(matrix, 1, 0), "true dent, predicted good: 0 pixels, 0 % of true dent");
  for (let share = 0; share <= 1; share += 0.01) {
    for (const right of [true, false]) {
      const { background, text } = cellColors(share, right);
      const color = background.match(/\d+/g).map(Number);
      assert.ok(contrast(color, text === "#000" ? [0, 0, 0] : [255, 255, 255]) >= 4.5, `${background} ${text}`);
    }
  }
});

test("pictures of a cell", () => {
  const items = [{ cells: [[0, 0], [1, 0]] }, { cells: [[1, 1]] }, {}, { cells: [[1, 0]] }];
  assert.deepEqual(examplesOf(items, 1, 0), [0, 3]);
  assert.deepEqual(examplesOf(items, 7, 0), []);
});

test("the legend names what is seen, and galleries of several runs are one", () => {
  const classes = [{ name: "dent", color: "#fff" }];
  const errors = [{ name: "missed", color: "#f00" }];
  const gallery = { title: "t", items: [{ name: "a" }], layers: ["truth", "errors"], legend: { classes, errors } };
  assert.deepEqual(legendOf(gallery, new Set(["truth", "errors"])), [...classes, ...errors]);
  assert.deepEqual(legendOf(gallery, new Set()), []);
  assert.deepEqual(joined([gallery, gallery]).items.map(({ name }) => name), ["a", "a"]);
  assert.deepEqual(joined([]).items, []);
});

const cell = (text, value, best = false) => ({ text, value, best });
const ROWS = [
  [cell("unet", "unet"), cell("0.6000", 0.6)],
  [cell("fpn|x", "fpn|x"), cell("—", null)],
  [cell("vit", "vit"), cell("0.7000 ± 0.1", 0.7, true)],
];

test("tables are sorted by size or by the alphabet, what has no figure last", () => {
  const names = (rows) => rows.map(([name]) => name.text);
  assert.deepEqual(names(sorted(ROWS, 1, "descending")), ["vit", "unet", "fpn|x"]);
  assert.deepEqual(names(sorted(ROWS, 1, "ascending")), ["unet", "vit", "fpn|x"]);
  assert.deepEqual(names(sorted(ROWS, 0, "ascending")), ["fpn|x", "unet", "vit"]);
  assert.deepEqual(names(ROWS), ["unet", "fpn|x", "vit"]); // not in place
});

test("a table as Markdown", () => {
  const expected = "| model | mIoU |\n| --- | --: |\n| unet | 0.6000 |\n| fpn\\|x | — |\n| vit | **0.7000 ± 0.1** |\n";
  assert.equal(markdown(["model", "mIoU"], ROWS), expected);
});

test("as many tiles as fit, and at least one", () => {
  assert.deepEqual(fitting(380, 250), { columns: 4, count: 8 });
  assert.deepEqual(fitting(10, 10), { columns: 1, count: 1 });
  assert.deepEqual(fitting(5000, 5000), { columns: 54, count: 60 });
  assert.equal(rangeWords(12, 12, 10_000), "13–24 of 10,000");
  assert.equal(rangeWords(0, 0, 0), "none of this class");
});

test("classes to choose from have their counts", () => {
  const dataset = { task: "segmentation", classes: [{ name: "good" }, { name: "dent" }], splits: { val: { count: 1200, classes: [1000, 200] } } };
  assert.deepEqual(classChoices(dataset, "val"), [["", "all classes (1,200)"], ["0", "only good (1,000)"], ["1", "dent (200)"]]);
  assert.deepEqual(classChoices({ ...dataset, task: "classification" }, "val")[1], ["0", "good (1,000)"]);
});

test("what the line below a pair says", () => {
  const pairs = [{ name: "rust" }, { name: "" }];
  assert.equal(pairWords(pairs, 0), "1 of 2 · rust");
  assert.equal(pairWords(pairs, 1), "2 of 2");
  assert.equal(pairWords([{ name: "" }], 0), "");
});
