/** Tables and lists that a node gives as text, shown in the node with aligned columns. */
import { app } from "../../scripts/app.js";

/** @type {Record<string, number>} */
const HEIGHTS = {
  VisionsmithChooseAugmentation: 240,
  VisionsmithPredict: 80,
  VisionsmithInspect: 120,
  VisionsmithSaveNetwork: 44,
  VisionsmithExportNetwork: 44,
};

app.registerExtension({
  name: "visionsmith.showText",

  /** @param {any} node */
  nodeCreated(node) {
    const height = HEIGHTS[node.comfyClass];
    if (!height) return;
    const text = document.createElement("pre");
    text.className = "visionsmith-text";
    text.tabIndex = 0;
    text.style.cssText =
      "margin:0;padding:6px 8px;height:100%;overflow:auto;font:11px/1.35 ui-monospace,monospace;border-radius:6px;" +
      "background:var(--comfy-input-bg);color:var(--input-text);user-select:text";
    const widget = node.addDOMWidget("result", "visionsmith_text", text, { serialize: false, hideOnZoom: false, getMinHeight: () => height });
    widget.serialize = false;
    const onExecuted = node.onExecuted;
    node.onExecuted = function (/** @type {any} */ output) {
      onExecuted?.call(this, output);
      if (output?.text) text.textContent = output.text.join("\n");
    };
  },
});
