/** The button of Label Pictures that opens the label editor. */
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";
import { LabelEditor } from "./labels/editor.mjs";
import { namesOf, widgetOf } from "./labels/place.mjs";
import { LabelServer } from "./labels/server.mjs";
import { addStyle } from "./style.mjs";
import { t } from "./words/text.mjs";

/** @typedef {import("./labels/server.mjs").Settings} Settings */

const NODE = "VisionsmithLabelPictures";
const SETTINGS = /** @type {const} */ (["folder", "images", "masks", "classes", "coding"]);

let opening = false;

/** Make the workflow's own undo know of a class that was added. */
const captureChange = () => app.extensionManager.workflow.activeWorkflow?.changeTracker?.captureCanvasState?.();

/** Through which node a subgraph was entered: nodes in a subgraph that is used twice are the same ones in both. @type {WeakMap<any, any>} */
const entered = new WeakMap();

/**
 * The settings of a node as a run would be sent them, also those that come by wire, and its name in that run.
 * @param {any} node @returns {Promise<{name: string, settings: Settings}>} @throws {Error} a sentence, if only a run knows one
 */
async function settingsOf(node) {
  const { output } = await app.graphToPrompt();
  const names = namesOf(app.rootGraph, node, entered);
  const all = names.map((name) => ({ name, settings: sent(output, name) }));
  if (all.some(({ settings }) => JSON.stringify(settings) !== JSON.stringify(all[0].settings))) {
    throw new Error(t("this subgraph is used {times} times with settings of its own each; go out, and in again through the one that is meant.", { times: all.length }));
  }
  return all[0];
}

/** @param {Record<string, any>} output what would be run @param {string} name @returns {Settings} */
function sent(output, name) {
  const inputs = output[name]?.inputs ?? {};
  const values = SETTINGS.map((setting) => {
    const value = inputs[setting] ?? widgetOf(app.rootGraph, name, setting)?.widget.value ?? "";
    const given = Array.isArray(value) ? output[value[0]]?.inputs.value : value;
    if (typeof given !== "string") throw new Error(t("{setting} comes from another node and is known after a run only; type it into the node.", { setting }));
    return [setting, given];
  });
  return /** @type {Settings} */ (Object.fromEntries(values));
}

/** @param {any} node */
async function openEditor(node) {
  if (opening || document.querySelector(".visionsmith-labels")) return;
  opening = true;
  try {
    const { name, settings } = await settingsOf(node);
    const server = new LabelServer((path, options) => api.fetchApi(path, options), settings);
    const listing = await server.list();
    const editor = new LabelEditor(server, listing, {
      onClasses: (text) => {
        const giver = widgetOf(app.rootGraph, name, "classes");
        if (!giver) throw new Error(t("classes come from another node; name the class there."));
        giver.widget.value = text;
        giver.widget.callback?.(text, app.canvas, giver.node);
      },
      onClose: () => {
        captureChange();
        node.setDirtyCanvas?.(true, true);
      },
    });
    await editor.start();
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    app.extensionManager.toast.add({ severity: "error", summary: t("Nothing to label"), detail, life: 10_000 });
  } finally {
    opening = false;
  }
}

app.registerExtension({
  name: "visionsmith.labelEditor",

  setup() {
    addStyle();
    addStyle("labels/labels.css");
    app.canvas.canvas.addEventListener("subgraph-opened", (/** @type {any} */ event) => {
      const { subgraph, fromNode } = event.detail;
      if (fromNode) entered.set(subgraph, fromNode);
    });
  },

  /** @param {any} node */
  nodeCreated(node) {
    if (node.comfyClass !== NODE) return;
    const button = node.addWidget("button", "label_pictures", "", () => openEditor(node), { serialize: false });
    button.label = t("Label pictures");
    button.serialize = false; // it is no setting: neither the workflow nor the prompt has it
    button.tooltip = t("Opens the editor in which masks are drawn.");
  },
});
