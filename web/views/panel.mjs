/** The panel in a node: one view, or several behind tabs. It has its height before the first run, so that nothing jumps. */
import { arrows, html } from "./dom.mjs";

/**
 * @typedef {{element: HTMLElement, show: (entries: any[]) => void}} View shows the entries of one key of what a node gave; without any it says
 * what to do
 * @typedef {{tab: string, key: string, view: View}} Tab
 */

/** What would change or move the nodes that are chosen on the canvas. */
const CANVAS_KEYS = ["Delete", "Backspace", " ", "ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"];
const MARGIN = 20; // what ComfyUI leaves free above and below, together
let panels = 0;

export class Panel {
  /** @param {string} label @param {number} height in pixels @param {Tab[]} tabs */
  constructor(label, height, tabs) {
    this.tabs = tabs;
    this.height = height;
    this.shown = "";
    this.element = html("div", { class: "visionsmith-panel", role: "group", "aria-label": label, style: `min-height:${height - MARGIN}px` });
    this.element.title = ""; // else a node's long tooltip would hang over it
    if (tabs.length > 1) this.element.append(this.makeTabs());
    this.element.append(...tabs.map((tab) => tab.view.element));
    this.element.addEventListener("keydown", (event) => {
      if (CANVAS_KEYS.includes(event.key) && !event.ctrlKey && !event.metaKey) event.stopPropagation();
    });
    this.open(0);
    this.show(null);
  }

  makeTabs() {
    const number = ++panels;
    this.buttons = this.tabs.map(({ tab, view }, index) => {
      view.element.id = `visionsmith-view-${number}-${index}`;
      view.element.setAttribute("role", "tabpanel");
      view.element.setAttribute("aria-label", tab);
      return html("button", { type: "button", role: "tab", "aria-controls": view.element.id, onclick: () => this.open(index), onfocus: () => this.open(index) }, tab);
    });
    const row = html("div", { class: "visionsmith-tabs", role: "tablist" }, ...this.buttons);
    arrows(row, () => this.buttons ?? [], () => 1);
    return row;
  }

  /** @param {number} index */
  open(index) {
    this.tabs.forEach(({ view }, number) => (view.element.hidden = number !== index));
    this.buttons?.forEach((tab, number) => {
      tab.setAttribute("aria-selected", String(number === index));
      tab.tabIndex = number === index ? 0 : -1;
    });
  }

  /** @param {any} output what a node gave, its `ui` entry; null before the first run */
  show(output) {
    const entries = this.tabs.map(({ key }) => output?.[key] ?? []);
    const text = JSON.stringify(entries);
    if (text === this.shown) return; // what was chosen in the panel stays
    this.shown = text;
    this.tabs.forEach(({ view }, index) => view.show(entries[index]));
  }
}

/** Text as it is, with its columns. */
export class TextView {
  /** @param {string} waits */
  constructor(waits) {
    this.waits = waits;
    this.element = html("pre", { class: "visionsmith-text visionsmith-scroll", tabindex: 0, "data-capture-wheel": "true" });
  }

  /** @param {string[]} lines */
  show(lines) {
    this.element.textContent = lines.join("\n") || this.waits;
  }
}
