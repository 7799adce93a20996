/** The person's language: for what we say ourselves, and for tooltips of what only one option of a choice has, which ComfyUI shows as the server sends them. */
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";
import { translateOptions } from "./words/options.mjs";
import { speak } from "./words/text.mjs";

const COMFYUI = "Comfy.Locale";
/** For languages that we have and ComfyUI does not: it takes back what it does not know. */
const OURS = "Visionsmith.Language";
const SAME = "comfyui";
const LANGUAGES = [
  { text: "ComfyUI", value: SAME },
  { text: "English", value: "en" },
  { text: "한국어", value: "ko" },
  { text: "中文", value: "zh" },
  { text: "Українська", value: "uk" },
];

/** What the server knows of a language. @typedef {{nodeDefs?: Record<string, any>, visionsmith?: Record<string, string>}} Texts */
/** Of ComfyUI's language. @type {Promise<Texts>} */
let texts;
/** How often a language was chosen: only the last choice counts, whichever answer comes last. */
let choices = 0;

/** Learn the languages that are chosen; where the server has none of ours, English. @returns {Promise<Texts>} */
async function learn() {
  const choice = ++choices;
  const { setting } = app.extensionManager;
  const language = setting.get(COMFYUI) || "en";
  const own = setting.get(OURS) ?? SAME;
  const panels = own === SAME ? language : own;
  const known = language === "en" && panels === "en" ? {} : await served();
  if (choice === choices) speak(panels, panels === "en" ? {} : known[panels]?.visionsmith);
  return language === "en" ? {} : (known[language] ?? {});
}

/** @returns {Promise<Record<string, Texts>>} */
async function served() {
  try {
    return await (await api.fetchApi("/i18n")).json();
  } catch {
    return {}; // an older ComfyUI, or none that answers
  }
}

app.registerExtension({
  name: "visionsmith.translated",
  settings: [
    {
      id: OURS,
      name: "Language of panels",
      tooltip: "What Visionsmith's panels, charts and editors speak, once the page is loaded anew. Nodes speak ComfyUI's language.",
      type: "combo",
      options: LANGUAGES,
      defaultValue: SAME,
      category: ["Visionsmith", "Appearance", "Language"], // the second is a word that ComfyUI knows in every language
    },
  ],

  /** While ComfyUI asks for its nodes. */
  init() {
    texts = learn();
    const again = () => setTimeout(() => (texts = learn())); // the event comes before the setting has its new value
    for (const one of [COMFYUI, OURS]) app.ui.settings.addEventListener(`${one}.change`, again);
  },

  /** Before any node is made of them. @param {Record<string, any>} definitions */
  async addCustomNodeDefs(definitions) {
    const { nodeDefs = {} } = await texts;
    for (const [type, definition] of Object.entries(definitions)) {
      if (nodeDefs[type]?.inputs) translateOptions(definition.input, nodeDefs[type].inputs);
    }
  },
});
