/** Colours of wires where a theme has none of its own. */
import assert from "node:assert/strict";
import test from "node:test";
import { WIRES, fillIn, sheet } from "../../web/wires.mjs";

test("a table answers with ours, by theme, unless the theme has its own", () => {
  const table = { IMAGE: "#64B5F6", VISIONSMITH_TENSOR: "" };
  let light = false;
  fillIn(table, () => light);
  assert.equal(table.VISIONSMITH_TENSOR, WIRES.VISIONSMITH_TENSOR.dark);
  light = true;
  assert.equal(table.VISIONSMITH_TENSOR, WIRES.VISIONSMITH_TENSOR.light);
  Object.assign(table, { VISIONSMITH_TENSOR: "#123456" }); // as ComfyUI does when a theme is chosen
  assert.equal(table.VISIONSMITH_TENSOR, "#123456");
  Object.assign(table, { VISIONSMITH_TENSOR: "" });
  assert.equal(table.VISIONSMITH_TENSOR, WIRES.VISIONSMITH_TENSOR.light);
  assert.equal(table.IMAGE, "#64B5F6");
});

test("the style sheet has every type twice", () => {
  for (const type of Object.keys(WIRES)) assert.equal(sheet().split(`--color-datatype-${type}:`).length, 3);
});
