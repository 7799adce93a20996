/** The points widget of SAM3 Segment: points and boxes are drawn on the picture that is wired into the node. */
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";
import { passOn } from "./canvas_events.mjs";
import { Editor, openLarge } from "./points/editor.mjs";
import { Marks } from "./points/marks.mjs";
import { loadedPicture } from "./points/upstream.mjs";
import { addStyle } from "./style.mjs";
import { t } from "./words/text.mjs";

/** @typedef {import("./points/stage.mjs").Picture} Picture */

const INPUT = "images";
const HEIGHT = 290;
const WIDTH = 350;
const runFirst = () => t("Wire a Load Image, or run once to see the picture.");

/** Every editor on the canvas, to look for its picture again when the graph has changed. @type {Set<PointsWidget>} */
const editors = new Set();

const refreshAll = () => editors.forEach((one) => one.refresh());

/** Make the workflow's own undo and its mark of unsaved changes know of a change that no mouse made. */
const captureChange = () => app.extensionManager.workflow.activeWorkflow?.changeTracker?.captureCanvasState?.();

/** The picture of a node's last run. @param {any} node @returns {{query: string, size: {width: number, height: number}} | null} */
function shownByRun(node) {
  const inner = node.graph && node.graph !== node.graph.rootGraph;
  const outputs = app.nodeOutputs ?? {};
  const entry = outputs[inner ? `${node.graph.id}:${node.id}` : String(node.id)]?.visionsmith_picture?.[0];
  if (!entry) return null;
  const { filename, subfolder, type, width, height } = entry;
  return { query: new URLSearchParams({ filename, subfolder, type }).toString(), size: { width, height } };
}

class PointsWidget {
  /** @param {any} node @param {string} name */
  constructor(node, name) {
    this.node = node;
    this.url = "";
    /** @type {Picture | null} */
    this.picture = null;
    this.message = runFirst();
    this.marks = new Marks();
    this.editor = new Editor(this.marks, { label: t("Edit in a large window"), icon: "enlarge", action: () => this.enlarge() });
    const { element } = this.editor;
    this.widget = node.addDOMWidget(name, "visionsmith_points", element, {
      hideOnZoom: false,
      getMinHeight: () => HEIGHT,
      getValue: () => this.marks.text,
      setValue: (/** @type {unknown} */ value) => this.marks.setText(value),
    });
    // the side panel leaves its own width behind, in which the node would go on drawing the widget
    Object.defineProperty(this.widget, "width", { get: () => undefined, set: () => {} });
    this.marks.views.add(() => node.setDirtyCanvas?.(true, false));
    element.addEventListener("keyup", captureChange);
    element.addEventListener("click", captureChange);
    element.addEventListener("pointerenter", () => this.refresh());
    element.addEventListener("focusin", () => this.refresh());
    passOn(element);
    this.editor.setPicture(this.picture, this.message);
    this.follow();
  }

  /** Look for the picture whenever the node may have another one, as long as it is in a graph. */
  follow() {
    const { node } = this;
    for (const name of ["onConnectionsChange", "onConfigure", "onAdded"]) {
      const before = node[name];
      node[name] = (/** @type {any[]} */ ...args) => {
        const result = before?.apply(node, args);
        queueMicrotask(() => this.refresh());
        return result;
      };
    }
    const { onAdded, onRemoved } = node;
    node.onAdded = (/** @type {any[]} */ ...args) => {
      editors.add(this);
      return onAdded?.apply(node, args);
    };
    node.onRemoved = (/** @type {any[]} */ ...args) => {
      editors.delete(this);
      this.dialog?.close();
      return onRemoved?.apply(node, args);
    };
  }

  /** Show the picture that is wired in now: a file at once, anything else since the last run. */
  refresh() {
    const file = loadedPicture(this.node, INPUT);
    const run = file ? null : shownByRun(this.node);
    const query = file ?? run?.query ?? "";
    if (query === this.url) return;
    this.url = query;
    if (!query) {
      this.show(null, runFirst());
      return;
    }
    const url = api.apiURL(`/view?${query}`);
    const image = new Image();
    image.onload = () => {
      if (this.url === query) this.show({ url, width: image.naturalWidth, height: image.naturalHeight, ...run?.size }, "");
    };
    image.onerror = () => {
      if (this.url === query) this.show(null, file ? t("The picture file cannot be read; choose another one.") : runFirst());
    };
    image.src = url;
  }

  /** @param {Picture | null} picture @param {string} message */
  show(picture, message) {
    this.picture = picture;
    this.message = message;
    this.editor.setPicture(picture, message);
  }

  enlarge() {
    this.dialog = openLarge(this.marks, this.picture, this.message, () => {
      this.dialog = undefined;
      captureChange();
      this.editor.stage.focus();
    });
  }
}

app.registerExtension({
  name: "visionsmith.pointsEditor",

  setup() {
    addStyle();
    api.addEventListener("graphChanged", refreshAll);
    api.addEventListener("executed", () => setTimeout(refreshAll)); // outputs are put away by another listener
  },

  afterConfigureGraph: refreshAll,
  onNodeOutputsUpdated: refreshAll, // those of a workflow that is opened again

  getCustomWidgets() {
    return {
      VISIONSMITH_POINTS: (/** @type {any} */ node, /** @type {string} */ name) => ({
        widget: new PointsWidget(node, name).widget,
        minWidth: WIDTH,
        minHeight: HEIGHT,
      }),
    };
  },
});
