/** The button of Label Pictures that opens the label editor. */
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";
import { LabelEditor } from "./labels/editor.mjs";
import { LabelServer } from "./labels/server.mjs";
import { addStyle } from "./style.mjs";

/** @typedef {import("./labels/server.mjs").Settings} Settings */

const NODE = "VisionsmithLabelPictures";
const SETTINGS = /** @type {const} */ (["folder", "images", "masks", "classes", "coding"]);

let opening = false;

/** Make the workflow's own undo know of a class that was added. */
const captureChange = () => app.extensionManager.workflow.activeWorkflow?.changeTracker?.captureCanvasState?.();

/** @param {any} node @param {string} name */
const widgetOf = (node, name) => node.widgets?.find((/** @type {any} */ widget) => widget.name === name);

/**
 * The settings as a run would be sent them, also those that come by wire.
 * @param {any} node @returns {Promise<Settings>} @throws {Error} a sentence, if only a run knows one
 */
async function settingsOf(node) {
  const { output } = await app.graphToPrompt();
  const id = Object.keys(output).find((key) => key.split(":").at(-1) === String(node.id) && output[key].class_type === NODE);
  const inputs = id ? output[id].inputs : {};
  const values = SETTINGS.map((name) => {
    const value = inputs[name] ?? widgetOf(node, name)?.value ?? "";
    const given = Array.isArray(value) ? output[value[0]]?.inputs.value : value;
    if (typeof given !== "string") throw new Error(`${name} comes from another node and is known after a run only; type it into the node.`);
    return [name, given];
  });
  return /** @type {Settings} */ (Object.fromEntries(values));
}

/** @param {any} node */
async function openEditor(node) {
  if (opening || document.querySelector(".visionsmith-labels")) return;
  opening = true;
  try {
    const server = new LabelServer((path, options) => api.fetchApi(path, options), await settingsOf(node));
    const listing = await server.list();
    const editor = new LabelEditor(server, listing, {
      onClasses: (text) => {
        const widget = widgetOf(node, "classes");
        if (widget) widget.value = text;
        widget?.callback?.(text, app.canvas, node);
      },
      onClose: () => {
        captureChange();
        node.setDirtyCanvas?.(true, true);
      },
    });
    await editor.start();
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    app.extensionManager.toast.add({ severity: "error", summary: "Nothing to label", detail, life: 10_000 });
  } finally {
    opening = false;
  }
}

app.registerExtension({
  name: "visionsmith.labelEditor",

  setup() {
    addStyle();
    addStyle("labels/labels.css");
  },

  /** @param {any} node */
  nodeCreated(node) {
    if (node.comfyClass !== NODE) return;
    const button = node.addWidget("button", "label_pictures", "", () => openEditor(node), { serialize: false });
    button.label = "Label pictures";
    button.serialize = false; // it is no setting: neither the workflow nor the prompt has it
    button.tooltip = "Opens the editor in which masks are drawn.";
  },
});
