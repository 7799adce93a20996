/** Pictures one after another, with what a network made of them: truth, prediction and errors as layers to be faded. */
import { t } from "../words/text.mjs";
import { button, html, onKeys, opacitySlider, toggle } from "./dom.mjs";
import { PictureStage } from "./stage.mjs";

/**
 * @typedef {import("./compare.mjs").File} File
 * @typedef {{name: string, note: string, picture: File, layers: Record<string, File>, cells?: [number, number][]}} Item
 * @typedef {{name: string, color: string}} Meaning
 * @typedef {{title: string, items: Item[], layers: string[], legend: {classes: Meaning[], errors: Meaning[]}}} Gallery
 */

/** The key of each layer. @type {Record<string, string>} */
const KEYS = { truth: "t", prediction: "p", errors: "e" };

/** What the button of a layer says, and what it does. @param {string} layer */
function layerWords(layer) {
  switch (layer) {
    case "truth":
      return [t("truth"), t("Show the true masks (T)")];
    case "prediction":
      return [t("prediction"), t("Show the masks of the network (P)")];
    case "errors":
      return [t("errors"), t("Show what was found, missed and imagined (E)")];
    default:
      return [layer, layer];
  }
}

/** What a colour of the errors means; the server names it in English. @param {string} name */
function errorWords(name) {
  switch (name) {
    case "found":
      return t("found");
    case "missed":
      return t("missed");
    case "false alarm":
      return t("false alarm");
    case "wrong class":
      return t("wrong class");
    default:
      return name;
  }
}

/** What colours mean while some layers are on. @param {Gallery} gallery @param {Set<string>} on @returns {Meaning[]} */
export function legendOf(gallery, on) {
  const classes = on.has("truth") || on.has("prediction") ? gallery.legend.classes : [];
  return [...classes, ...(on.has("errors") ? gallery.legend.errors.map(({ name, color }) => ({ name: errorWords(name), color })) : [])];
}

/** Several runs of one node as one gallery. @param {Gallery[]} galleries @returns {Gallery} */
export function joined(galleries) {
  const none = { title: "", items: [], layers: [], legend: { classes: [], errors: [] } };
  if (galleries.length < 2) return galleries[0] ?? none;
  return { ...galleries[0], title: "", items: galleries.flatMap((one) => one.items) };
}

export class GalleryView {
  /** @param {(file: File) => string} urlOf */
  constructor(urlOf) {
    this.urlOf = urlOf;
    this.gallery = joined([]);
    this.index = 0;
    this.stage = new PictureStage();
    Object.assign(this.stage.element, { tabIndex: 0 });
    this.stage.element.setAttribute("role", "group");
    this.tools = html("div", { class: "visionsmith-row" });
    this.status = html("div", { class: "visionsmith-status", role: "status" });
    this.legend = html("div", { class: "visionsmith-legend" });
    this.previous = button("‹", t("Previous picture (left arrow)"), () => this.go(this.index - 1));
    this.next = button("›", t("Next picture (right arrow)"), () => this.go(this.index + 1));
    /** @type {Map<string, HTMLButtonElement>} */
    this.toggles = new Map();
    this.opacity = opacitySlider((value) => this.stage.setOpacity(value));
    this.element = html("div", { class: "visionsmith-view-body" }, this.tools, this.stage.element, this.status, this.legend);
    onKeys(this.stage.element, {
      ArrowRight: () => this.go(this.index + 1),
      ArrowLeft: () => this.go(this.index - 1),
      Home: () => this.go(0),
      End: () => this.go(this.gallery.items.length - 1),
    });
    onKeys(this.element, Object.fromEntries(Object.entries(KEYS).map(([layer, key]) => [key, () => this.toggles.has(layer) && this.toggles.get(layer)?.click()])));
  }

  /** @param {Gallery[]} galleries */
  show(galleries) {
    this.gallery = joined(galleries);
    const { layers } = this.gallery;
    if (layers.join() !== [...this.toggles.keys()].join() || !this.tools.childElementCount) this.makeTools(layers);
    this.go(0);
  }

  /** @param {string[]} layers */
  makeTools(layers) {
    const first = layers.includes("errors") ? "errors" : layers[0];
    this.stage.on = new Set(first ? [first] : []);
    this.toggles = new Map(layers.map((layer) => [layer, this.makeToggle(layer)]));
    this.tools.replaceChildren(this.previous, this.next, ...this.toggles.values(), ...(layers.length ? [this.opacity] : []));
  }

  /** @param {string} layer */
  makeToggle(layer) {
    const [text, label] = layerWords(layer);
    return toggle(text, label, this.stage.on.has(layer), (on) => {
      this.stage.setLayer(layer, on);
      this.drawLegend();
    });
  }

  /** @param {number} index */
  go(index) {
    const { items, title } = this.gallery;
    const item = items[index];
    if (!item && items.length) return; // before the first or behind the last
    this.index = item ? index : 0;
    this.previous.disabled = this.index === 0;
    this.next.disabled = this.index >= items.length - 1;
    const layers = item ? Object.fromEntries(Object.entries(item.layers).map(([name, file]) => [name, this.urlOf(file)])) : {};
    this.stage.show(item ? { url: this.urlOf(item.picture), alt: `${item.name}: ${item.note}`, width: item.picture.width, layers } : null);
    this.stage.element.setAttribute("aria-label", item ? t("Picture {at} of {all}, arrows for others", { at: index + 1, all: items.length }) : t("Run once to see pictures."));
    this.status.textContent = item ? [t("{at} of {all}", { at: index + 1, all: items.length }), item.note, item.name].join(" · ") : t("Run once to see pictures.");
    this.status.title = [this.status.textContent, title].filter(Boolean).join(" · ");
    this.drawLegend();
  }

  drawLegend() {
    const meanings = legendOf(this.gallery, this.stage.on);
    this.legend.replaceChildren(...meanings.map(({ name, color }) => html("span", {}, html("i", { style: `background:${color}` }), name)));
  }
}
