/** What stands above and below the plot: how it goes, the buttons, and the values that are read off. */
import { t } from "../words/text.mjs";
import { exact, short } from "./scale.mjs";
import { lineOf } from "./words.mjs";

const BUSY = ["preparing", "running", "validating", "sampling", "stopping"];
/** Whether a training in this state is at work. @param {string} state */
export const isBusy = (state) => BUSY.includes(state);

const ENTRIES = /** @type {const} */ (["train", "val", "learned", "metric"]);

/** @param {string} label @param {string} title @param {() => void} action */
function button(label, title, action) {
  const element = document.createElement("button");
  Object.assign(element, { type: "button", textContent: label, title });
  element.addEventListener("click", action);
  for (const name of ["pointerdown", "pointerup", "dblclick"]) element.addEventListener(name, (event) => event.stopPropagation());
  element.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") event.stopPropagation();
  });
  return element;
}

/** How the training goes, and what one can do about it; nothing in here changes its size. */
export class Head {
  /** @param {{stop: () => Promise<boolean>, goOn: () => Promise<boolean>}} actions */
  constructor({ stop, goOn }) {
    this.element = document.createElement("div");
    this.element.className = "head";
    this.status = document.createElement("span");
    this.status.className = "status";
    this.status.textContent = t("The chart appears here while training.");
    this.spoken = document.createElement("span"); // for screen readers: when it begins and how it ends, not four times a second
    this.spoken.className = "visionsmith-announcer";
    this.spoken.setAttribute("role", "status");
    this.stop = button("", "", () => this.act(stop, goOn));
    this.stop.className = "stop";
    this.element.append(this.status, this.spoken, this.stop);
    this.state = "";
    this.offer();
  }

  /** @param {() => Promise<boolean>} stop @param {() => Promise<boolean>} goOn */
  async act(stop, goOn) {
    this.stop.disabled = true; // until the training tells that it heard
    const heard = await (this.state === "stopped" ? goOn() : stop()).catch(() => false);
    if (!heard) this.offer();
  }

  /** @param {import("./chart.mjs").Told} told */
  say(told) {
    const { state, title } = told;
    const line = lineOf(told);
    this.status.textContent = this.status.title = title ? `${title} · ${line}` : line;
    if (state === this.state) return;
    if (!isBusy(state) || !isBusy(this.state)) this.spoken.textContent = isBusy(state) ? t("Training") : t("Training {line}", { line });
    this.state = state;
    this.offer();
  }

  /** Show the one button that makes sense now; its place stays taken. */
  offer() {
    const words =
      this.state === "stopped"
        ? { textContent: t("Go on"), title: t("Train on where it was stopped, and run the workflow") }
        : { textContent: t("Stop and keep"), title: t("End training after this step, and go on with the best weights") };
    const offered = this.state === "stopped" || (isBusy(this.state) && this.state !== "preparing");
    Object.assign(this.stop, words, { disabled: this.state === "stopping" });
    this.stop.style.visibility = offered ? "visible" : "hidden";
  }
}

/** The lines by their colours, each with the value nearest to the cursor, or its last one. */
export class Legend {
  constructor() {
    this.element = document.createElement("div");
    this.element.className = "legend";
    this.step = document.createElement("span");
    this.step.className = "step";
    this.entries = ENTRIES.map((key) => {
      const [entry, swatch, label, value] = ["span", "i", "span", "b"].map((tag) => document.createElement(tag));
      entry.className = `entry ${key}`;
      entry.hidden = true;
      entry.append(swatch, label, value);
      return { key, entry, label, value };
    });
    this.element.append(...this.entries.map((one) => one.entry), this.step);
  }

  /** @param {{line: import("./curve.mjs").Line, value: import("./curve.mjs").Value | undefined}[]} found @param {number | null} cursor */
  say(found, cursor) {
    this.step.textContent = cursor === null ? "" : t("step {step}", { step: short(Math.round(cursor)) });
    for (const { key, entry, label, value } of this.entries) {
      const one = found.find(({ line }) => line.key === key);
      entry.hidden = !one;
      if (!one) continue;
      label.textContent = one.line.label;
      value.textContent = one.value ? exact(one.value[1]) : "";
      entry.title = one.value ? t("{label} at step {step}", { label: one.line.label, step: short(one.value[0]) }) : "";
    }
  }
}

/** Warnings and where the run is, and how it is looked at; there from the beginning, so that nothing jumps. */
export class Foot {
  /** @param {{log: () => void, all: () => void}} actions */
  constructor({ log, all }) {
    this.element = document.createElement("div");
    this.element.className = "head";
    this.notes = document.createElement("span");
    this.notes.className = "notes";
    this.log = button(t("log"), t("Logarithmic scale of the loss (L)"), log);
    this.all = button(t("all"), t("Show all steps (Escape, or a double click)"), all);
    this.element.append(this.notes, this.log, this.all);
  }

  /** @param {string[]} notes */
  say(notes) {
    this.notes.textContent = notes.join(" · ");
    this.notes.title = notes.join("\n");
  }

  /** @param {boolean} log @param {boolean} zoomed */
  mark(log, zoomed) {
    this.log.setAttribute("aria-pressed", String(log));
    this.all.disabled = !zoomed;
  }
}
