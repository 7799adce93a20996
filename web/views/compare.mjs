/** Before and after in one picture, parted by a line that a person moves. */
import { button, html, onKeys } from "./dom.mjs";

/**
 * @typedef {{filename: string, subfolder: string, type: string, width: number, height: number}} File
 * @typedef {{before: File, after: File, name: string}} Pair
 */

const WAITS = "Run once to see before and after.";

/** What the line below says. @param {Pair[]} pairs @param {number} index */
export function pairWords(pairs, index) {
  const { name } = pairs[index];
  return [pairs.length > 1 ? `${index + 1} of ${pairs.length}` : "", name].filter(Boolean).join(" · ");
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
    this.slider = html("input", { type: "range", min: 0, max: 100, step: 1, value: 50, "aria-label": "Line between before (left) and after (right)" });
    this.slider.addEventListener("input", () => this.part());
    this.left = html("span", { class: "visionsmith-tag" }, "before");
    this.right = html("span", { class: "visionsmith-tag visionsmith-right" }, "after");
    this.stage = html("div", { class: "visionsmith-picture visionsmith-compare" }, this.after, this.before, this.line, this.left, this.right, this.slider);
    this.status = html("span", { class: "visionsmith-status", role: "status" });
    this.previous = button("‹", "Previous picture (Page up)", () => this.go(-1));
    this.next = button("›", "Next picture (Page down)", () => this.go(1));
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
    this.status.textContent = pair ? pairWords(this.pairs, this.index) : WAITS;
    if (!pair) return;
    for (const part of /** @type {const} */ (["before", "after"])) {
      this[part].src = this.urlOf(pair[part]);
      this[part].alt = `${pair.name || "picture"} ${part}`;
    }
    this.part();
  }

  /** Put the line where the slider is. */
  part() {
    const place = Number(this.slider.value);
    this.slider.setAttribute("aria-valuetext", `${place} % before, ${100 - place} % after`);
    this.before.style.clipPath = `inset(0 ${100 - place}% 0 0)`;
    this.line.style.left = `${place}%`;
    this.left.hidden = place < 12;
    this.right.hidden = place > 88;
  }
}
