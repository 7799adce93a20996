/** Tooltips inside of choices, in another language. */
import assert from "node:assert/strict";
import test from "node:test";
import { translateOptions } from "../../web/words/options.mjs";

test("inputs of options are translated, each by its key, and nothing else is touched", () => {
  const inner = (tooltip) => ["INT", { tooltip }];
  const options = [
    { key: "image", inputs: { required: { height: inner("Pixels."), count: inner("Images.") } } },
    { key: "sound", inputs: { required: { count: inner("Seconds.") }, optional: { loud: ["BOOLEAN", {}] } } },
  ];
  const groups = { required: { tensor: ["TENSOR", { tooltip: "In." }], kind: ["COMFY_DYNAMICCOMBO_V3", { tooltip: "Which.", options }] }, hidden: { id: "UNIQUE_ID" } };
  translateOptions(groups, { tensor: { tooltip: "a" }, kind: { tooltip: "b" }, kind_height: { tooltip: "픽셀." }, kind_count: { tooltip: "장." }, kind_count_sound: { tooltip: "초." } });

  assert.equal(groups.required.tensor[1].tooltip, "In."); // ComfyUI's own part
  assert.equal(groups.required.kind[1].tooltip, "Which.");
  assert.deepEqual(options[0].inputs.required, { height: inner("픽셀."), count: inner("장.") });
  assert.deepEqual(options[1].inputs, { required: { count: inner("초.") }, optional: { loud: ["BOOLEAN", {}] } });
});

test("a definition without inputs is no matter", () => translateOptions(undefined, {}));
