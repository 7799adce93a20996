/** Panels that show data and results inside the nodes that make them: pictures of a dataset, class balance, confusion, predictions, before and after, tables. */
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";
import { passOn } from "./canvas_events.mjs";
import { addStyle } from "./style.mjs";
import { t } from "./words/text.mjs";
import { BalanceView } from "./views/balance.mjs";
import { CompareView } from "./views/compare.mjs";
import { ConfusionView } from "./views/confusion.mjs";
import { GalleryView } from "./views/gallery.mjs";
import { Panel, TextView } from "./views/panel.mjs";
import { ResultsView } from "./views/results.mjs";
import { SamplesView } from "./views/samples.mjs";

/** @typedef {import("./views/compare.mjs").File} File */

const BEFORE_AND_AFTER = [
  "VisionsmithRemoveObject",
  "VisionsmithInpaintStitch",
  "VisionsmithDiffusersInpaint",
  "VisionsmithEditWithPrompt",
  "VisionsmithEditFromExample",
  "VisionsmithLeditsEdit",
  "VisionsmithSynthesizeDefects",
];

/** Type of node → its panel. @type {Record<string, () => Panel>} */
const PANELS = {
  VisionsmithDatasetPreview: () => new Panel(t("Pictures of the dataset"), 360, [{ tab: t("pictures"), key: "visionsmith_samples", view: new SamplesView(askSamples) }]),
  VisionsmithDatasetStatistics: () =>
    new Panel(t("Statistics of the dataset"), 260, [{ tab: t("balance"), key: "visionsmith_balance", view: new BalanceView() }, text(t("table"))]),
  VisionsmithTest: testPanel,
  VisionsmithPredictSegmentation: () =>
    new Panel(t("Predictions"), 330, [{ tab: t("pictures"), key: "visionsmith_gallery", view: new GalleryView(urlOf) }, text(t("table"))]),
  VisionsmithExperiment: resultsPanel,
  VisionsmithFindBest: resultsPanel,
  VisionsmithFinetuneRuns: runsPanel,
  ...Object.fromEntries(BEFORE_AND_AFTER.map((name) => [name, comparePanel])),
};
const WIDTH = 340;

/** @type {Map<any, Panel>} */
const panels = new Map();

/** @param {string} tab */
const text = (tab) => ({ tab, key: "text", view: new TextView(t("Run once to see the figures.")) });

function resultsPanel() {
  return new Panel(t("Results of the experiment"), 230, [{ tab: t("results"), key: "visionsmith_results", view: new ResultsView() }]);
}

function runsPanel() {
  return new Panel(t("Fine-tuning runs"), 420, [
    { tab: t("pictures"), key: "visionsmith_gallery", view: new GalleryView(urlOf) },
    { tab: t("table"), key: "visionsmith_results", view: new ResultsView() },
  ]);
}

function comparePanel() {
  return new Panel(t("Before and after"), 250, [{ tab: t("before and after"), key: "visionsmith_compare", view: new CompareView(urlOf) }]);
}

function testPanel() {
  const gallery = new GalleryView(urlOf);
  const confusion = new ConfusionView(gallery, () => panel.open(2));
  const panel = new Panel(t("Results of the test"), 380, [
    text(t("scores")),
    { tab: t("confusion"), key: "visionsmith_confusion", view: confusion },
    { tab: t("pictures"), key: "visionsmith_gallery", view: gallery },
  ]);
  return panel;
}

/** @param {File} file */
const urlOf = ({ filename, subfolder, type }) => api.apiURL(`/view?${new URLSearchParams({ filename, subfolder, type })}`);

/** @param {any} question */
async function askSamples(question) {
  const headers = { "Content-Type": "application/json" };
  const response = await api.fetchApi("/visionsmith/samples", { method: "POST", headers, body: JSON.stringify(question) });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

/** What a node gave in its last run. @param {any} node */
function outputOf(node) {
  const inner = node.graph && node.graph !== node.graph.rootGraph;
  return app.nodeOutputs?.[inner ? `${node.graph.id}:${node.id}` : String(node.id)];
}

/** Results of a workflow that is opened again. */
const refreshAll = () => panels.forEach((panel, node) => panel.show(outputOf(node) ?? null));

app.registerExtension({
  name: "visionsmith.views",

  setup() {
    addStyle();
    addStyle("views/views.css");
  },

  afterConfigureGraph: refreshAll,
  onNodeOutputsUpdated: refreshAll,

  /** @param {any} node */
  nodeCreated(node) {
    const panel = PANELS[node.comfyClass]?.();
    if (!panel) return;
    const height = panel.height;
    const widget = node.addDOMWidget("view", "visionsmith_view", panel.element, { serialize: false, hideOnZoom: false, getMinHeight: () => height });
    widget.serialize = false; // it is no setting: neither the workflow nor the prompt has it
    node.hideOutputImages = true; // the panel has them; this is for Vue's nodes, the next line for the canvas
    node.onDrawBackground = () => {};
    const [width, tall] = node.size;
    node.setSize?.([Math.max(width, WIDTH), tall]);
    passOn(panel.element, (target) => Boolean(target.closest(".visionsmith-scroll")));
    const { onExecuted, onAdded, onRemoved } = node;
    node.onExecuted = function (/** @type {any} */ output) {
      onExecuted?.call(this, output);
      panel.show(output);
    };
    node.onAdded = function (/** @type {any[]} */ ...args) {
      panels.set(node, panel);
      return onAdded?.apply(this, args);
    };
    node.onRemoved = function (/** @type {any[]} */ ...args) {
      panels.delete(node);
      return onRemoved?.apply(this, args);
    };
  },
});
