/** Offer to rewrite a workflow of comfyui-Build-and-train-your-network, as `visionsmith convert` does. */
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";
import { showNotes, showNotice } from "./notice.mjs";
import { addStyle } from "./style.mjs";
import { t } from "./words/text.mjs";

const OLD_PACK = "comfyui-Build-and-train-your-network";
const OLD_TYPES = new Set([
  "linear_layer", "activation_function", "view_layer", "Conv_layer", "Normalization_layer", "pooling_layer", "pre_train_layer",
  "res_connect", "create_intput", "create_model", "create_dataset", "create_training_task", "forward_test", "show_dimensions",
]);
const COMMAND = "visionsmith.convertWorkflow";

/** Graphs whose offer was turned down. @type {Set<string>} */
const declined = new Set();
/** @type {(() => void) | null} takes the offer away */
let withdraw = null;

/** The nodes of the old pack in this workflow. @returns {any[]} */
const oldNodes = () => app.rootGraph.nodes.filter((/** @type {any} */ node) => OLD_TYPES.has(node.type));

/** @param {"error" | "info"} severity @param {string} summary @param {string} detail */
const toast = (severity, summary, detail) => app.extensionManager.toast.add({ severity, summary, detail, life: 10_000 });

/** Ask the server for the new workflow, open it beside the old one, and tell what had to be decided. */
async function convertWorkflow() {
  withdraw?.();
  if (!oldNodes().length) {
    toast("info", t("Nothing to convert"), t("This workflow has no node of {pack}.", { pack: OLD_PACK }));
    return;
  }
  const name = app.extensionManager.workflow.activeWorkflow?.filename ?? "workflow";
  try {
    const answer = await api.fetchApi("/visionsmith/convert", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ workflow: app.rootGraph.serialize() }),
    });
    const { workflow, notes, error } = await answer.json();
    if (error) throw new Error(error);
    await app.loadGraphData(workflow, true, true, `${name} (Visionsmith)`);
    showNotes(t("{name} is drawn with Visionsmith's nodes now", { name }), notes);
  } catch (error) {
    toast("error", t("The workflow was not converted"), error instanceof Error ? error.message : String(error));
  }
}

function offer() {
  withdraw?.();
  const id = String(app.rootGraph.id);
  const count = oldNodes().filter((node) => !(node.type in window.LiteGraph.registered_node_types)).length;
  if (!count || declined.has(id)) return;
  const text = t(
    "{count} node of this workflow comes from {pack}, which is not installed. Visionsmith can draw it anew in another tab; this one stays as it is.|{count} nodes of this workflow come from {pack}, which is not installed. Visionsmith can draw it anew in another tab; this one stays as it is.",
    { count, pack: OLD_PACK },
  );
  withdraw = showNotice(text, [
    { label: t("Convert"), main: true, action: convertWorkflow },
    { label: t("Not now"), action: () => declined.add(id) },
  ]);
}

app.registerExtension({
  name: "visionsmith.convert",
  setup: () => addStyle(),
  afterConfigureGraph: offer,
  commands: [{ id: COMMAND, label: "Convert Build-and-train workflow", icon: "pi pi-arrow-right-arrow-left", function: convertWorkflow }],
  menuCommands: [{ path: ["Extensions", "Visionsmith"], commands: [COMMAND] }],
});
