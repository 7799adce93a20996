/** What ComfyUI's menu offers where a wire is let go on the empty canvas: what people go on with, instead of the first of our nodes. */
import { app } from "../../scripts/app.js";

/** Behind an output of this type. */
const AFTER = {
  TENSOR: ["Conv", "Activation", "Normalization", "Pooling", "Merge", "Linear", "BuildNetwork"],
  NETWORK: ["Train", "Test", "Predict", "PredictSegmentation", "SaveNetwork", "NetworkSummary"],
  DATASET: ["Transform", "Train", "Test", "DatasetPreview", "DatasetStatistics", "SegmentationModel", "AugmentDataset"],
  LOSS: ["Train", "CombineLosses", "Experiment"],
  OPTIMIZER: ["Train", "Experiment"],
};
/** Before an input of this type. */
const BEFORE = {
  TENSOR: ["Input", "Conv", "Activation", "Normalization", "Pooling", "Merge"],
  NETWORK: ["BuildNetwork", "SegmentationModel", "Train", "LoadNetwork"],
  DATASET: ["ImageFolder", "SegmentationDataset", "Transform", "AugmentDataset", "SampleDataset"],
};

/** @param {Record<string, string[]>} table @param {Record<string, string[]>} ours */
function offer(table, ours) {
  for (const [type, nodes] of Object.entries(ours)) {
    table[`VISIONSMITH_${type}`] = ["Reroute", ...nodes.map((node) => `Visionsmith${node}`)];
  }
}

app.registerExtension({
  name: "visionsmith.suggestions",

  /** After ComfyUI has made its own lists of all nodes. */
  setup() {
    offer(window.LiteGraph.slot_types_default_out, AFTER);
    offer(window.LiteGraph.slot_types_default_in, BEFORE);
  },
});
