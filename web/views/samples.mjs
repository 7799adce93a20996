/** The pictures of a dataset, a page at a time, of one split and one class; a click shows one large. */
import { t, whole } from "../words/text.mjs";
import { arrows, button, choice, html, onKeys, opacitySlider } from "./dom.mjs";
import { PictureStage } from "./stage.mjs";

/**
 * @typedef {{name: string, color: string}} Kind
 * @typedef {{key: string, name: string, task: string, split: string, seed: number, classes: Kind[],
 *   splits: Record<string, {count: number, classes: number[]}>}} Dataset
 * @typedef {{name: string, label: string, picture?: string, mask?: string, error?: string}} Sample
 * @typedef {{count: number, samples: Sample[]}} Answer
 */

const TILE = { width: 92, height: 112 };
const MOST = 60; // the server's
const PAGES_KEPT = 40;
const REST = 150; // milliseconds after the node's size changed

/** How many tiles fit. @param {number} width @param {number} height of the place for them */
export function fitting(width, height) {
  const columns = Math.max(1, Math.floor(width / TILE.width));
  const rows = Math.max(1, Math.floor(height / TILE.height));
  return { columns, count: Math.min(MOST, columns * rows) };
}

/** Which samples are seen, in words. @param {number} start @param {number} shown @param {number} count */
export const rangeWords = (start, shown, count) =>
  count ? t("{at} of {all}", { at: `${whole(start + 1)}–${whole(start + shown)}`, all: whole(count) }) : t("none of this class");

/** The classes that a split has, with their counts. @param {Dataset} dataset @param {string} split @returns {[string, string][]} */
export function classChoices(dataset, split) {
  const { count, classes } = dataset.splits[split];
  const nothing = dataset.task === "segmentation"; // of its first class are the pictures that have nothing else
  const kinds = dataset.classes.map(({ name }, i) => /** @type {[string, string]} */ ([String(i), `${nothing && !i ? t("only {name}", { name }) : name} (${whole(classes[i])})`]));
  return [["", `${t("all classes")} (${whole(count)})`], ...kinds];
}

export class SamplesView {
  /** @param {(question: any) => Promise<Answer>} ask */
  constructor(ask) {
    this.ask = ask;
    /** @type {Dataset | null} */
    this.dataset = null;
    this.split = "";
    this.kind = "";
    this.start = 0;
    this.count = 0;
    this.columns = 1;
    this.perPage = 1;
    /** @type {Map<string, Promise<Answer>>} */
    this.pages = new Map();
    this.tools = html("div", { class: "visionsmith-row" });
    this.grid = html("div", { class: "visionsmith-tiles" });
    this.large = new PictureStage();
    this.large.on.add("mask");
    this.large.element.tabIndex = 0;
    this.large.element.setAttribute("role", "group");
    this.large.element.hidden = true;
    this.place = html("div", { class: "visionsmith-place" }, this.grid, this.large.element);
    this.previous = button("‹", t("Previous page (Page up)"), () => this.turn(-1));
    this.next = button("›", t("Next page (Page down)"), () => this.turn(1));
    this.status = html("span", { class: "visionsmith-status", role: "status" });
    this.element = html("div", { class: "visionsmith-view-body" }, this.tools, this.place, html("div", { class: "visionsmith-row" }, this.previous, this.next, this.status));
    onKeys(this.element, { PageUp: () => this.turn(-1), PageDown: () => this.turn(1) });
    onKeys(this.large.element, { ArrowLeft: () => this.step(-1), ArrowRight: () => this.step(1), Escape: () => this.close(), Enter: () => this.close() });
    this.large.element.addEventListener("click", () => this.close());
    arrows(this.grid, () => /** @type {HTMLElement[]} */ ([...this.grid.children]), () => this.columns);
    new ResizeObserver(() => this.resized()).observe(this.place);
  }

  /** @param {Dataset[]} entries */
  show([dataset]) {
    this.pages.clear();
    this.dataset = dataset ?? null;
    this.split = dataset?.split ?? "";
    this.kind = "";
    this.start = 0;
    this.makeTools();
    this.showGrid();
    this.draw();
  }

  makeTools() {
    const { dataset } = this;
    this.tools.replaceChildren();
    if (!dataset) return;
    const names = Object.keys(dataset.splits);
    const split = choice(t("Split"), names.map((name) => [name, name]), (value) => this.filter(value, this.kind));
    split.value = this.split;
    this.tools.append(split);
    if (dataset.classes.length) {
      const kind = choice(t("Class"), classChoices(dataset, this.split), (value) => this.filter(this.split, value));
      kind.value = this.kind;
      this.tools.append(kind);
    }
    if (dataset.task !== "segmentation") return;
    const slider = opacitySlider((opacity) => this.setOpacity(opacity));
    slider.value = String(100 * this.large.opacity);
    this.tools.append(slider);
  }

  /** @param {number} opacity */
  setOpacity(opacity) {
    this.large.setOpacity(opacity);
    this.grid.style.setProperty("--opacity", String(opacity));
  }

  /** @param {string} split @param {string} kind */
  filter(split, kind) {
    const had = this.split !== split ? 0 : 1;
    Object.assign(this, { split, kind, start: 0 });
    this.makeTools();
    this.tools.querySelectorAll("select")[had]?.focus();
    this.showGrid();
    this.draw();
  }

  resized() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      const { count } = fitting(this.place.clientWidth, this.place.clientHeight);
      if (this.place.clientWidth && count !== this.perPage) this.draw();
    }, REST);
  }

  /** One page on or back. @param {number} by */
  turn(by) {
    if (!this.large.element.hidden) return this.step(by);
    const start = this.start + by * this.perPage;
    if (start >= this.count || (by < 0 && this.start === 0)) return;
    const inside = this.grid.contains(document.activeElement);
    this.start = Math.max(0, start);
    this.draw(inside);
  }

  /** What the server says of some samples, asked once. @param {number} start @param {number} count @returns {Promise<Answer>} */
  page(start, count) {
    const { key, seed } = /** @type {Dataset} */ (this.dataset);
    const question = { dataset: key, split: this.split, class: this.kind ? Number(this.kind) : null, seed, start, count };
    const name = JSON.stringify(question);
    const answer = this.pages.get(name) ?? this.ask(question);
    this.pages.delete(name); // the newest come last
    this.pages.set(name, answer);
    answer.catch(() => this.pages.delete(name));
    if (this.pages.size > PAGES_KEPT) this.pages.delete(this.pages.keys().next().value ?? "");
    return answer;
  }

  /** Draw the page that begins with `start`. @param {boolean} [focus] whether the keyboard is in it */
  async draw(focus = false) {
    const { dataset } = this;
    if (!dataset) {
      this.grid.replaceChildren();
      return this.tell(t("Run once to see the pictures."), 0, 0);
    }
    const { clientWidth, clientHeight } = this.place;
    const { columns, count } = fitting(clientWidth, clientHeight);
    if (!clientWidth) {
      this.perPage = 0; // not seen; it is drawn when it has a size
      return;
    }
    this.columns = columns;
    this.perPage = count;
    const drawing = (this.drawing = {});
    try {
      const answer = await this.page(this.start, count);
      if (this.drawing !== drawing) return; // another page is on its way
      this.count = answer.count;
      this.grid.style.gridTemplate = `repeat(${Math.ceil(count / columns)}, minmax(0, 1fr)) / repeat(${columns}, minmax(0, 1fr))`;
      this.grid.replaceChildren(...answer.samples.map((sample, index) => this.tile(sample, index)));
      if (focus) /** @type {HTMLElement | null} */ (this.grid.firstElementChild)?.focus({ preventScroll: true });
      this.tell(rangeWords(this.start, answer.samples.length, answer.count), this.start, answer.samples.length);
    } catch (error) {
      if (this.drawing === drawing) this.tell(/** @type {Error} */ (error).message, 0, 0);
    }
  }

  /** @param {string} words @param {number} start @param {number} shown */
  tell(words, start, shown) {
    this.previous.disabled = start === 0;
    this.next.disabled = start + shown >= this.count || !shown;
    this.status.textContent = words;
    this.status.title = words;
  }

  /** @param {Sample} sample @param {number} index on the page */
  tile(sample, index) {
    const { name, label, picture, mask, error } = sample;
    const images = picture ? [html("img", { src: picture, alt: "", draggable: "false" })] : [];
    if (mask) images.push(html("img", { src: mask, alt: "", draggable: "false", "data-layer": "mask" }));
    const frame = html("span", { class: "visionsmith-frame" }, ...(images.length ? images : ["?"]));
    const words = `${name}: ${error ?? label}`;
    const open = () => this.open(this.start + index);
    return html("button", { type: "button", title: words, "aria-label": words, tabindex: index ? -1 : 0, onclick: open }, frame, html("span", { class: "visionsmith-caption" }, label));
  }

  /** Show one sample large. @param {number} number among those of the split and class */
  async open(number) {
    const drawing = (this.drawing = {});
    const answer = await this.page(number, 1).catch((error) => ({ samples: [{ name: "", label: "", error: error.message, picture: "", mask: "" }] }));
    if (this.drawing !== drawing) return;
    const [{ name, label, picture, mask, error }] = answer.samples;
    this.number = number;
    this.large.show(picture ? { url: picture, alt: `${name}: ${label}`, layers: mask ? { mask } : /** @type {Record<string, string>} */ ({}) } : null);
    const words = `${t("{at} of {all}", { at: whole(number + 1), all: whole(this.count) })}: ${name}: ${error ?? label}`;
    this.large.element.setAttribute("aria-label", `${words}. ${t("Arrows for others, Escape for all.")}`);
    this.grid.hidden = true;
    this.large.element.hidden = false;
    this.large.element.focus({ preventScroll: true });
    this.tell(words, number, 1);
  }

  /** The next sample, large. @param {number} by */
  step(by) {
    const number = (this.number ?? 0) + by;
    if (number >= 0 && number < this.count) this.open(number);
  }

  showGrid() {
    this.large.element.hidden = true;
    this.grid.hidden = false;
  }

  /** Back to all of the page, with the keyboard where it was. */
  close() {
    if (this.large.element.hidden) return;
    const inside = this.large.element.contains(document.activeElement);
    this.showGrid();
    const number = this.number ?? 0;
    const page = this.perPage || 1;
    this.start = page * Math.floor(number / page);
    this.draw().then(() => {
      const tile = /** @type {HTMLElement | undefined} */ (this.grid.children[number - this.start]);
      if (inside) tile?.focus({ preventScroll: true });
    });
  }
}
