/** What stands above and below the plot: how it goes, the buttons, and the values that are read off. */
import { t } from "../words/text.mjs";
import { exact, short } from "./scale.mjs";
import { lineOf } from "./words.mjs";

const BUSY = ["preparing", "running", "validating", "sampling", "stopping"];
/** Whether a training in this state is at work. @param {string} state */
export const isBusy = (state) => BUSY.includes(state);

const ROWS = /** @type {const} */ ([
  { pane: "loss", keys: ["train", "val"] },
  { pane: "metric", keys: ["learned", "metric"] },
]);

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

/** A row for each pane: its lines by their colours, each with the value nearest to the cursor, or its last one. */
export class Legend {
  constructor() {
    this.element = document.createElement("div");
    this.element.className = "legend";
    this.step = document.createElement("span");
    this.step.className = "step";
    this.rows = ROWS.map(({ pane, keys }) => {
      const [row, name] = [document.createElement("div"), document.createElement("span")];
      name.className = "name";
      const entries = keys.map(entryOf);
      row.append(name, ...entries.map((one) => one.entry));
      return { pane, row, name, entries };
    });
    this.rows[0].row.append(this.step);
    this.element.append(...this.rows.map(({ row }) => row));
  }

  /**
   * @param {{line: import("./curve.mjs").Line, value: import("./curve.mjs").Value | undefined}[]} found
   * @param {Record<string, string>} names those of the panes @param {number | null} cursor
   */
  say(found, names, cursor) {
    this.step.textContent = cursor === null ? "" : t("step {step}", { step: short(Math.round(cursor)) });
    this.rows[1].row.hidden = names.metric === "loss"; // there is nothing but the loss: the plot may have the room
    for (const { pane, name, entries } of this.rows) {
      name.textContent = name.title = found.some(({ line }) => line.pane === pane) ? names[pane] : "";
      for (const { key, entry, label, value } of entries) {
        const one = found.find(({ line }) => line.key === key);
        entry.hidden = !one;
        if (!one) continue;
        label.textContent = one.line.split;
        value.textContent = one.value ? exact(one.value[1]) : "";
        entry.title = one.value ? t("{label} at step {step}", { label: one.line.label, step: short(one.value[0]) }) : "";
      }
    }
  }
}

/** @param {import("./curve.mjs").Line["key"]} key */
function entryOf(key) {
  const [entry, swatch, label, value] = ["span", "i", "span", "b"].map((tag) => document.createElement(tag));
  entry.className = `entry ${key}`;
  entry.hidden = true;
  entry.append(swatch, label, value);
  return { key, entry, label, value };
}

/** Warnings and where the run is, and how it is looked at; there from the beginning, so that nothing jumps. */
export class Foot {
  /** @param {{smooth: () => void, log: () => void, all: () => void}} actions */
  constructor({ smooth, log, all }) {
    this.element = document.createElement("div");
    this.element.className = "head";
    this.notes = document.createElement("span");
    this.notes.className = "notes";
    this.smooth = button(t("smooth"), t("Average of the training loss over about ten steps (S)"), smooth);
    this.log = button(t("log"), t("Logarithmic scale of the loss (L)"), log);
    this.all = button(t("all"), t("Show all steps (Escape, or a double click)"), all);
    this.element.append(this.notes, this.smooth, this.log, this.all);
  }

  /** @param {string[]} notes */
  say(notes) {
    this.notes.textContent = notes.join(" · ");
    this.notes.title = notes.join("\n");
  }

  /** @param {boolean} smooth @param {boolean} log @param {boolean} zoomed */
  mark(smooth, log, zoomed) {
    this.smooth.setAttribute("aria-pressed", String(smooth));
    this.log.setAttribute("aria-pressed", String(log));
    this.all.disabled = !zoomed;
  }
}
