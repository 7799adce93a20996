/** A new node is as large as its labels, widgets and what is drawn in it need; one that was opened or pasted keeps the size that it had. */
import { app } from "../../scripts/app.js";

const OURS = /^Visionsmith/;
const LEAST = 270;
/** Nodes with a line of text or a table in them that is longer. @type {Record<string, number>} */
const WIDTHS = {
  VisionsmithDatasetStatistics: 400,
  VisionsmithExperiment: 460,
  VisionsmithFindBest: 460,
  VisionsmithFinetuneRuns: 560,
  VisionsmithImageFolder: 320,
  VisionsmithLoadDiffusionModel: 400,
  VisionsmithTest: 460,
  VisionsmithTrain: 420,
};

app.registerExtension({
  name: "visionsmith.sizes",

  /** @param {any} node */
  nodeCreated(node) {
    if (!OURS.test(node.comfyClass ?? "")) return;
    let known = false;
    const { onAdded, onConfigure } = node;
    node.onConfigure = function (/** @type {any[]} */ ...args) {
      known = true;
      return onConfigure?.apply(this, args);
    };
    node.onAdded = function (/** @type {any[]} */ ...args) {
      onAdded?.apply(this, args);
      if (known) return;
      const [width, height] = this.computeSize();
      this.setSize([Math.max(this.size[0], width, WIDTHS[this.comfyClass] ?? LEAST), Math.max(this.size[1], height)]);
    };
  },
});
