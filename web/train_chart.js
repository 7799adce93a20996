/** The chart in the Train node: grows while the network learns, and stays when it is done. */
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";
import { Chart, clock } from "./chart.mjs";

const HEIGHT = 210;
const TRAINS = ["VisionsmithTrain", "VisionsmithTrainLora", "VisionsmithTrainDreamBooth"];

/** Node id → its chart. @type {Map<string, Chart>} */
const charts = new Map();

/** The last part of an execution id names the node inside its subgraph. @param {string|number} id */
const localId = (id) => String(id).split(":").at(-1) ?? "";

app.registerExtension({
  name: "visionsmith.trainChart",

  setup() {
    api.addEventListener("visionsmith.train", ({ detail }) => {
      const chart = charts.get(localId(detail.node));
      if (!chart) return;
      if (detail.step < (chart.step ?? 0)) chart.clear(); // another training began
      chart.step = detail.step;
      chart.add(detail, `epoch ${detail.epoch} of ${detail.epochs} · step ${detail.step} of ${detail.steps} · ${clock(detail.eta)} left`);
    });
  },

  /** @param {any} node */
  nodeCreated(node) {
    if (!TRAINS.includes(node.comfyClass)) return;
    const chart = new Chart();
    const widget = node.addDOMWidget("chart", "visionsmith_chart", chart.element, {
      serialize: false,
      hideOnZoom: false,
      getMinHeight: () => HEIGHT,
    });
    widget.serialize = false; // it is no setting: neither the workflow nor the prompt has it

    // a node gets its id when it is put on the canvas
    const onAdded = node.onAdded;
    node.onAdded = function (/** @type {any[]} */ ...args) {
      onAdded?.apply(this, args);
      charts.set(String(this.id), chart);
    };
    const onConfigure = node.onConfigure;
    node.onConfigure = function (/** @type {any[]} */ ...args) {
      onConfigure?.apply(this, args);
      charts.set(String(this.id), chart);
    };
    const onRemoved = node.onRemoved;
    node.onRemoved = function (/** @type {any[]} */ ...args) {
      onRemoved?.apply(this, args);
      if (charts.get(String(this.id)) === chart) charts.delete(String(this.id));
    };
    const onExecuted = node.onExecuted;
    node.onExecuted = function (/** @type {any} */ output) {
      onExecuted?.call(this, output);
      const curve = output?.visionsmith_curve?.[0];
      if (!curve) return;
      chart.clear();
      chart.add(curve, curve.best ? `${curve.state} · best epoch ${curve.best} of ${curve.epochs}` : curve.state);
    };
  },
});
