/** Tooltips of what only one option of a choice has, in the person's language: ComfyUI translates all others, and shows these as the server sends them. */
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";
import { translateOptions } from "./words/options.mjs";

app.registerExtension({
  name: "visionsmith.translated",

  /** Before any node is made of them. @param {Record<string, any>} definitions */
  async addCustomNodeDefs(definitions) {
    const language = app.extensionManager.setting.get("Comfy.Locale");
    if (!language || language === "en") return;
    const texts = (await (await api.fetchApi("/i18n")).json())[language]?.nodeDefs ?? {};
    for (const [type, definition] of Object.entries(definitions)) {
      if (texts[type]?.inputs) translateOptions(definition.input, texts[type].inputs);
    }
  },
});
