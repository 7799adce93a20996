/** The person's language: for what we say ourselves, and for tooltips of what only one option of a choice has, which ComfyUI shows as the server sends them. */
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";
import { translateOptions } from "./words/options.mjs";
import { speak } from "./words/text.mjs";

const SETTING = "Comfy.Locale";

/** What the server knows of a language. @typedef {{nodeDefs?: Record<string, any>, visionsmith?: Record<string, string>}} Texts */
/** @type {Promise<Texts>} */
let texts;

/** Learn the language that is chosen; where the server has none of ours, English. @returns {Promise<Texts>} */
async function learn() {
  const language = app.extensionManager.setting.get(SETTING) ?? "en";
  const known = language === "en" ? {} : await served(language);
  speak(language, known.visionsmith);
  return known;
}

/** @param {string} language @returns {Promise<Texts>} */
async function served(language) {
  try {
    return (await (await api.fetchApi("/i18n")).json())[language] ?? {};
  } catch {
    return {}; // an older ComfyUI, or none that answers
  }
}

app.registerExtension({
  name: "visionsmith.translated",

  /** While ComfyUI asks for its nodes. */
  init() {
    texts = learn();
    app.ui.settings.addEventListener(`${SETTING}.change`, () => (texts = learn())); // ComfyUI opens the workflow anew then
  },

  /** Before any node is made of them. @param {Record<string, any>} definitions */
  async addCustomNodeDefs(definitions) {
    const { nodeDefs = {} } = await texts;
    for (const [type, definition] of Object.entries(definitions)) {
      if (nodeDefs[type]?.inputs) translateOptions(definition.input, nodeDefs[type].inputs);
    }
  },
});
