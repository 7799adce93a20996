/** What the tools are called, the sliders beside the picture, and the words that lie over it. */
import { html } from "../views/dom.mjs";
import { t } from "../words/text.mjs";

/** @typedef {import("./tools.mjs").Tool} Tool */

export const TOOLS = /** @type {const} */ (["brush", "eraser", "polygon", "fill"]);

/** What the button of a tool says, and what to do with it, below the palette. @param {Tool} tool */
export function toolWords(tool) {
  switch (tool) {
    case "brush":
      return [t("Brush (B)"), t("Drag to paint; the right button erases. Shift + click draws a line from the last stroke.")];
    case "eraser":
      return [t("Eraser (E)"), t("Drag to give pixels back to the background.")];
    case "polygon":
      return [
        t("Polygon (P)"),
        t("Click the corners. Enter, a double click or the first corner closes it; Backspace or the right button takes the last corner away, Escape gives it up."),
      ];
    default:
      return [t("Fill (F)"), t("Click an area: all of its class that hangs together is given the chosen one.")];
  }
}

/** A slider with its value. @param {string} text @param {Record<string, any>} values @param {(value: number) => void} change */
export function slider(text, values, change) {
  const input = html("input", { type: "range", "aria-label": text, ...values, oninput: () => change(Number(input.value)) });
  const output = html("output");
  const row = html("label", { class: "visionsmith-label-slider" }, html("span", {}, text, " ", output), input);
  /** @param {number} value @param {string} words */
  const show = (value, words) => {
    input.value = String(Math.round(value));
    output.textContent = words;
  };
  return { input, row, show };
}

/** A share that is 100 % in the middle and at a double click, and four times as much or as little at the ends. @param {string} text @param {(share: number) => void} change */
export function shareSlider(text, change) {
  const { input, row, show } = slider(text, { min: -100, max: 100, title: t("A double click puts it back") }, (value) => change(4 ** (value / 100)));
  input.addEventListener("dblclick", () => change(1));
  return { row, show: (/** @type {number} */ share) => show((100 * Math.log(share)) / Math.log(4), `${Math.round(100 * share)} %`) };
}

/** A sentence over the picture, and what can be done about it. */
export class Message {
  /** @param {{saveAgain: () => void, reload: () => void, leave: () => void}} actions for a mask that could not be saved */
  constructor({ saveAgain, reload, leave }) {
    const button = (/** @type {string} */ text, /** @type {() => void} */ onclick) => html("button", { type: "button", onclick }, text);
    this.text = html("span");
    this.actions = html("div", { class: "visionsmith-label-group" }, button(t("Save again"), saveAgain), button(t("Load the saved mask"), reload), button(t("Close without saving"), leave));
    this.element = html("div", { class: "visionsmith-label-message", hidden: true }, this.text, this.actions);
  }

  /** @param {{kind: string, text: string}} state @param {boolean} picture whether there is one below @param {boolean} lost whether something would be */
  show({ kind, text }, picture, lost) {
    const { element } = this;
    element.hidden = kind === "busy" || (picture && kind !== "locked" && kind !== "problem");
    element.dataset.place = picture ? "above" : "middle";
    this.actions.hidden = !lost;
    if (this.text.textContent !== text) this.text.textContent = text;
  }
}
