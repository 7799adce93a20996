/** What is wrong with an input, in words, as soon as a run stops for it: ComfyUI says that a node failed, and keeps the reason behind "View details". */
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";

const LIFE = 30_000; // milliseconds; long enough to read three lines

/** What is shown now. @type {any[]} */
let shown = [];

/** @param {{node_type?: string, exception_type?: string, exception_message?: string}} error */
function tell({ node_type: type, exception_type: kind, exception_message: message }) {
  if (!type?.startsWith("Visionsmith") || !kind?.endsWith("InputError")) return;
  const summary = window.LiteGraph.registered_node_types[type]?.title ?? type;
  const toast = { severity: "error", summary, detail: message?.trim(), life: LIFE };
  shown.push(toast);
  app.extensionManager.toast.add(toast);
}

/** What a person runs next may mend it; what waited in the queue already does not. */
function forget() {
  for (const toast of shown) app.extensionManager.toast.remove(toast);
  shown = [];
}

app.registerExtension({
  name: "visionsmith.errors",

  setup() {
    api.addEventListener("promptQueued", forget);
    api.addEventListener("execution_error", ({ detail }) => tell(detail ?? {}));
  },
});
