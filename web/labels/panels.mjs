/** What lies around the picture: the list of pictures, the palette of classes, the page of keys. */
import { html } from "../views/dom.mjs";
import { t } from "../words/text.mjs";
import { headingWords, KEYS } from "./keys.mjs";
import { IGNORE } from "./mask.mjs";

/** @typedef {import("./server.mjs").Listed} Listed @typedef {import("./server.mjs").Class} Class */

const filters = () => ({ all: t("All"), unlabelled: t("Without a mask"), labelled: t("With a mask") });

const TAIL = 16; // letters of a name

/** The list of pictures with what each has; up and down go through it. */
export class PictureList {
  /** @param {(index: number) => void} onOpen */
  constructor(onOpen) {
    this.onOpen = onOpen;
    /** @type {HTMLLIElement[]} */
    this.items = [];
    this.count = html("span", { class: "visionsmith-label-count" });
    this.filter = html("select", { "aria-label": t("Pictures in the list"), onchange: () => this.refilter() });
    for (const [value, text] of Object.entries(filters())) this.filter.append(html("option", { value }, text));
    this.search = html("input", { type: "text", "aria-label": t("Part of a name"), placeholder: t("part of a name"), spellcheck: "false", class: "visionsmith-label-search", oninput: () => this.refilter() });
    this.search.addEventListener("keydown", (event) => event.key === "Enter" && !event.isComposing && this.openFirst());
    this.list = html("ul", { role: "listbox", tabindex: 0, "aria-label": t("Pictures"), onkeydown: (/** @type {KeyboardEvent} */ event) => this.onKey(event) });
    this.element = html("nav", { class: "visionsmith-label-pictures", "aria-label": t("Pictures") }, html("div", { class: "visionsmith-label-heading" }, this.filter, this.count), this.search, this.list);
    /** @type {Listed[]} */
    this.pictures = [];
    this.open = -1;
    this.changed = false;
  }

  /** @param {Listed[]} pictures */
  setPictures(pictures) {
    this.pictures = pictures;
    const parts = pictures.map(({ name }) => name.split("/"));
    const common = parts.every((part) => part.length > 1 && part[0] === parts[0][0]) ? 1 : 0;
    this.items = pictures.map(({ name }, index) => {
      const shown = parts[index].slice(common).join("/");
      const cut = Math.max(0, shown.length - TAIL); // the end tells pictures apart, and is always shown
      const sign = html("span", { class: "visionsmith-label-sign", "aria-hidden": "true" });
      return html("li", { role: "option", id: `visionsmith-label-picture-${index}`, title: name, onclick: () => this.onOpen(index) }, sign, html("span", { class: "visionsmith-label-head" }, shown.slice(0, cut)), html("span", { class: "visionsmith-label-tail" }, shown.slice(cut)), html("span", { class: "visionsmith-label-hidden" }));
    });
    this.list.replaceChildren(...this.items);
    pictures.forEach((_, index) => this.mark(index));
    this.countLabelled();
    this.refilter();
  }

  countLabelled() {
    const done = this.pictures.filter((one) => one.labelled).length;
    this.count.textContent = t("{some} of {all} labelled", { some: done, all: this.pictures.length });
  }

  /** Show which picture is open, and whether it is changed. @param {number} index @param {boolean} changed */
  show(index, changed) {
    const before = this.open;
    [this.open, this.changed] = [index, changed];
    if (before !== index && this.items[before]) this.mark(before);
    if (!this.items[index]) return;
    this.mark(index);
    this.countLabelled();
    if (before === index) return;
    this.list.setAttribute("aria-activedescendant", this.items[index].id);
    this.items[index].hidden = false;
    this.items[index].scrollIntoView({ block: "nearest" });
  }

  /** @param {number} index */
  mark(index) {
    const { labelled, shared } = this.pictures[index];
    const changed = index === this.open && this.changed;
    const item = this.items[index];
    const [sign, , , words] = item.children;
    const state = shared ? "shared" : changed ? "changed" : labelled ? "labelled" : "unlabelled";
    if (item.dataset.state !== state) {
      item.dataset.state = state;
      sign.textContent = { shared: "⚠", changed: "✎", labelled: "●", unlabelled: "○" }[state];
      words.textContent = `, ${{ shared: t("shares its mask with another picture"), changed: t("changed"), labelled: t("labelled"), unlabelled: t("unlabelled") }[state]}`;
    }
    const selected = String(index === this.open);
    if (item.getAttribute("aria-selected") !== selected) item.setAttribute("aria-selected", selected);
  }

  refilter() {
    const wanted = this.filter.value;
    const part = this.search.value.trim().toLowerCase();
    this.items.forEach((item, index) => {
      const { name, labelled } = this.pictures[index];
      const fits = (wanted === "all" || labelled === (wanted === "labelled")) && name.toLowerCase().includes(part);
      item.hidden = index !== this.open && !fits;
    });
  }

  /** The first one that has the typed part in its name. */
  openFirst() {
    const part = this.search.value.trim().toLowerCase();
    const index = this.items.findIndex((item, i) => !item.hidden && this.pictures[i].name.toLowerCase().includes(part));
    if (index >= 0) this.onOpen(index);
  }

  /** The picture that comes before or after, among those in the list. @param {number} index @param {number} step 1 or −1 */
  beside(index, step) {
    for (let i = index + step; i >= 0 && i < this.items.length; i += step) if (!this.items[i].hidden) return i;
    return -1;
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    const index = this.beside(this.open, step);
    if (index >= 0) this.onOpen(index);
  }
}

/** The classes, each with its number and colour, and a field for another one. */
export class Palette {
  /** @param {(label: number) => void} onChoose @param {(name: string) => Promise<boolean>} onAdd whether it could be added */
  constructor(onChoose, onAdd) {
    this.onChoose = onChoose;
    this.buttons = html("div", { role: "group", "aria-label": t("Class to paint"), class: "visionsmith-label-classes" });
    this.name = html("input", { type: "text", "aria-label": t("Name of another class"), placeholder: t("another class"), maxlength: 60, spellcheck: "false" });
    const add = html("button", { type: "submit" }, t("Add"));
    this.form = html("form", { class: "visionsmith-label-add" }, this.name, add);
    this.form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const name = this.name.value.trim();
      if (!name) return;
      if (await onAdd(name)) this.name.value = "";
    });
    this.element = html("div", { class: "visionsmith-label-palette" }, html("div", { class: "visionsmith-label-heading" }, t("Classes")), this.buttons, this.form);
    /** @type {Map<number, HTMLButtonElement>} */
    this.byLabel = new Map();
  }

  /** @param {Class[]} classes */
  setClasses(classes) {
    const entries = [...classes.entries(), /** @type {[number, Class]} */ ([IGNORE, { name: t("does not count"), color: "" }])];
    this.byLabel = new Map(entries.map(([label, one]) => [label, this.button(label, one)]));
    this.buttons.replaceChildren(...this.byLabel.values());
  }

  /** @param {number} label @param {Class} one */
  button(label, { name, color }) {
    const key = label === IGNORE ? "I" : label < 10 ? String(label) : "";
    const swatch = html("span", { class: label === IGNORE ? "visionsmith-label-swatch ignore" : "visionsmith-label-swatch", "aria-hidden": "true" });
    if (color) swatch.style.background = color;
    const number = html("span", { class: "visionsmith-label-key" }, key);
    const title = key ? t("{name}: class {label} (key {key})", { name, label, key }) : t("{name}: class {label}", { name, label });
    return html("button", { type: "button", title, onclick: () => this.onChoose(label) }, swatch, html("span", { class: "visionsmith-label-name" }, name), number);
  }

  /** @param {number} label */
  show(label) {
    for (const [one, button] of this.byLabel) button.setAttribute("aria-pressed", String(one === label));
    this.byLabel.get(label)?.scrollIntoView({ block: "nearest" });
  }
}

/** The page of keys. @param {() => void} onClose */
export function helpPage(onClose) {
  const groups = Object.entries(KEYS).map(([heading, keys]) =>
    html("section", {}, html("h3", {}, headingWords(heading)), html("dl", {}, ...keys.flatMap(({ shown, does }) => [html("dt", {}, html("kbd", {}, shown())), html("dd", {}, does())]))));
  const close = html("button", { type: "button", class: "visionsmith-main", onclick: onClose }, t("Close"));
  const page = html("div", { class: "visionsmith-label-help", role: "region", "aria-label": t("Keys"), tabindex: 0, hidden: true }, html("h2", {}, t("Keys")), html("div", { class: "visionsmith-label-groups" }, ...groups), close);
  return page;
}
