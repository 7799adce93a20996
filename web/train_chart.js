/** The chart in nodes that train: it grows while they learn, is there again after a reload or a restart, and stops a training with its best weights. */
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";
import { passOn } from "./canvas_events.mjs";
import { Chart } from "./chart/chart.mjs";
import { isBusy } from "./chart/frame.mjs";
import { nodeAt, placesOf } from "./chart/places.mjs";
import { showNotice } from "./notice.mjs";
import { addStyle } from "./style.mjs";
import { t } from "./words/text.mjs";

const HEIGHT = 250;
const TRAINS = ["VisionsmithTrain", "VisionsmithTrainLora", "VisionsmithTrainDreamBooth", "VisionsmithExperiment"];
const ENDINGS = ["execution_success", "execution_error", "execution_interrupted"];

/** @type {WeakMap<any, Chart>} */
const charts = new WeakMap();
/** Whether the server was asked for the charts of the workflow on the canvas. */
let asked = "";

/** @param {string} path @param {any} question @returns {Promise<any>} the answer; null where there is none */
async function post(path, question) {
  try {
    const headers = { "Content-Type": "application/json" };
    const response = await api.fetchApi(`/visionsmith/${path}`, { method: "POST", headers, body: JSON.stringify(question) });
    return response.ok ? await response.json() : null;
  } catch {
    return null; // the server is gone; when it is back, it is asked again
  }
}

const workflow = () => String(app.rootGraph?.id ?? "");
const places = () => placesOf(app.rootGraph, (node) => charts.has(node));

/** The server's names of a node. @param {any} node */
const namesOf = (node) => [...places()].flatMap(([name, one]) => (one === node ? [name] : []));

/** Get what was drawn before this page began, or while it was away. */
async function ask() {
  const nodes = places();
  const question = { workflow: workflow(), nodes: [...nodes.keys()].slice(0, 50) };
  asked = question.workflow;
  if (!nodes.size) return;
  const answer = await post("charts", question);
  if (!answer || asked !== workflow()) return;
  for (const [name, told] of Object.entries(answer.nodes)) charts.get(nodes.get(name))?.show(told, true);
  if (Object.values(answer.nodes).some(({ state }) => isBusy(state))) mark(true);
}

/** ComfyUI's action bar has a button to stop while something trains. @param {boolean} trains */
function mark(trains) {
  document.body.classList.toggle("visionsmith-training", trains);
}

/** What a training tells while it runs. @param {any} told */
function onTold(told) {
  mark(isBusy(told.state));
  if (told.workflow && told.workflow !== workflow()) return; // of a workflow in another tab
  charts.get(nodeAt(app.rootGraph, told.node))?.show(told);
}

/** Takes the last notice away. */
let taken = () => {};

/** Tell the server what a person wants; if it does not hear, that is said. @param {string} path @param {any[]} wishes @returns {Promise<boolean>} whether it heard */
async function wish(path, wishes) {
  taken();
  const heard = (await Promise.all(wishes.map((one) => post(path, one)))).every(Boolean);
  if (!heard) taken = showNotice(t("ComfyUI's server did not answer, so nothing was changed; try again in a moment."), [{ label: t("Close"), action: () => {} }]);
  return heard;
}

/** @param {any} node @returns {Promise<boolean>} whether the server heard */
const stop = (node) => wish("charts/stop", namesOf(node).map((name) => ({ workflow: workflow(), node: name })));

/** @param {any} node @returns {Promise<boolean>} whether it will go on */
async function goOn(node) {
  const heard = await wish("charts/go-on", namesOf(node).map((name) => ({ node: name })));
  return heard && (await app.queuePrompt(0, 1)) !== false; // a prompt that was refused can be sent again
}

/** What a node says in words stands in its chart; beside it, it would only make the node taller when it ends. */
function leaveTextsOut() {
  const { dispatchCustomEvent } = api;
  if (!dispatchCustomEvent) return;
  api.dispatchCustomEvent = function (/** @type {string} */ type, /** @type {any[]} */ ...args) {
    const shown = type === "progress_text" && charts.has(nodeAt(app.rootGraph, args[0]?.nodeId ?? ""));
    return shown || dispatchCustomEvent.call(this, type, ...args);
  };
}

const stopAll = () => void wish("charts/stop", [{}]);

/** The button of the action bar; it comes once the person's language is known. */
function addButton() {
  const tooltip = t("Stop training after this step, and go on with the best weights");
  const button = { icon: "icon-[lucide--octagon-pause]", label: t("Stop and keep"), tooltip, class: "visionsmith-stop-training", onClick: stopAll };
  app.registerExtension({ name: "visionsmith.stopButton", actionBarButtons: [button] });
}

api.addEventListener("visionsmith.train", ({ detail }) => onTold(detail)); // at once: after a reload events come before `setup`

app.registerExtension({
  name: "visionsmith.trainChart",
  commands: [{ id: "visionsmith.stopAndKeep", label: "Stop training after this step, and go on with the best weights", icon: "pi pi-stop-circle", function: stopAll }],

  setup() {
    addStyle();
    addStyle("chart/chart.css");
    api.addEventListener("reconnected", ask);
    leaveTextsOut();
    for (const name of ENDINGS) api.addEventListener(name, () => mark(false));
    addButton();
  },

  afterConfigureGraph: ask,

  /** @param {any} node */
  nodeCreated(node) {
    if (!TRAINS.includes(node.comfyClass)) return;
    const chart = new Chart({ stop: () => stop(node), goOn: () => goOn(node) });
    charts.set(node, chart);
    passOn(chart.element);
    const widget = node.addDOMWidget("chart", "visionsmith_chart", chart.element, { serialize: false, hideOnZoom: false, getMinHeight: () => HEIGHT });
    widget.serialize = false; // it is no setting: neither the workflow nor the prompt has it
    const { onExecuted } = node;
    node.onExecuted = function (/** @type {any} */ output) {
      onExecuted?.call(this, output);
      const told = output?.visionsmith_curve?.[0];
      if (told && (!told.workflow || told.workflow === workflow())) chart.show(told, true); // not what another tab's node of this number ran
    };
  },
});
