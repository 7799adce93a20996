/** Before and after in one picture, parted by a line that a person moves. */
import { t } from "../words/text.mjs";
import { button, html, onKeys } from "./dom.mjs";

/**
 * @typedef {{filename: string, subfolder: string, type: string, width: number, height: number}} File
 * @typedef {{before: File, after: File, name: string}} Pair
 */

/** What the line below says. @param {Pair[]} pairs @param {number} index */
export function pairWords(pairs, index) {
  const { name } = pairs[index];
  return [pairs.length > 1 ? t("{at} of {all}", { at: index + 1, all: pairs.length }) : "", name].filter(Boolean).join(" · ");
}

export class CompareView {
  /** @param {(file: File) => string} urlOf */
  constructor(urlOf) {
    this.urlOf = urlOf;
    /** @type {Pair[]} */
    this.pairs = [];
    this.index = 0;
    this.before = html("img", { alt: "", draggable: "false" });
    this.after = html("img", { alt: "", draggable: "false" });
    this.line = html("div", { class: "visionsmith-line" });
    this.slider = html("input", { type: "range", min: 0, max: 100, step: 1, value: 50, "aria-label": t("Line between before (left) and after (right)") });
    this.slider.addEventListener("input", () => this.part());
    this.left = html("span", { class: "visionsmith-tag" }, t("before"));
    this.right = html("span", { class: "visionsmith-tag visionsmith-right" }, t("after"));
    this.stage = html("div", { class: "visionsmith-picture visionsmith-compare" }, this.after, this.before, this.line, this.left, this.right, this.slider);
    this.status = html("span", { class: "visionsmith-status", role: "status" });
    this.previous = button("‹", t("Previous picture (Page up)"), () => this.go(-1));
    this.next = button("›", t("Next picture (Page down)"), () => this.go(1));
    this.element = html("div", { class: "visionsmith-view-body" }, this.stage, html("div", { class: "visionsmith-row" }, this.previous, this.next, this.status));
    onKeys(this.element, { PageUp: () => this.go(-1), PageDown: () => this.go(1) });
  }

  /** @param {Pair[]} pairs */
  show(pairs) {
    this.pairs = pairs;
    this.index = 0;
    this.draw();
  }

  /** @param {number} by */
  go(by) {
    const next = this.index + by;
    if (!this.pairs[next]) return;
    this.index = next;
    this.draw();
  }

  draw() {
    const pair = this.pairs[this.index];
    this.stage.classList.toggle("visionsmith-empty", !pair);
    this.slider.disabled = !pair;
    this.previous.hidden = this.next.hidden = this.pairs.length < 2;
    this.previous.disabled = this.index === 0;
    this.next.disabled = this.index >= this.pairs.length - 1;
    this.status.textContent = pair ? pairWords(this.pairs, this.index) : t("Wire it to Preview Image, then run.");
    if (!pair) return;
    this.before.src = this.urlOf(pair.before);
    this.after.src = this.urlOf(pair.after);
    const name = pair.name || t("picture");
    this.before.alt = t("{name} before", { name });
    this.after.alt = t("{name} after", { name });
    this.part();
  }

  /** Put the line where the slider is. */
  part() {
    const place = Number(this.slider.value);
    this.slider.setAttribute("aria-valuetext", t("{before} % before, {after} % after", { before: place, after: 100 - place }));
    this.before.style.clipPath = `inset(0 ${100 - place}% 0 0)`;
    this.line.style.left = `${place}%`;
    this.left.hidden = place < 12;
    this.right.hidden = place > 88;
  }
}
