/** The chart in one node: takes points as they come, draws at most once a frame, and answers mouse and keyboard. */
import { t } from "../words/text.mjs";
import { Curve, nearest, smoothed } from "./curve.mjs";
import { Foot, Head, Legend, isBusy } from "./frame.mjs";
import { MARGIN, elementsOf, panesOf, stepAt, svg, xOf, yOf } from "./plot.mjs";
import { exact, lastStep, zoomed } from "./scale.mjs";

/**
 * @typedef {import("./curve.mjs").Point} Point
 * @typedef {{run?: string, title?: string, notes?: string[], metric?: string, points: Point[]} & import("./words.mjs").Stand} Told
 */

const DRAG = 5; // pixels
const DECAY = 0.9; // of the average over steps
const keys = () => t("Arrows: read values, with Shift ten at a time. Plus and minus: zoom. Escape: all of it. L: logarithmic. S: smooth.");

export class Chart {
  /** @param {{stop: () => Promise<boolean>, goOn: () => Promise<boolean>}} actions */
  constructor(actions) {
    this.curve = new Curve();
    this.metric = "metric";
    /** The last step of the axis. */
    this.end = 1;
    this.run = "";
    this.log = false;
    /** Whether the losses of single steps are averaged; they stay visible behind that. */
    this.smooth = false;
    /** What is zoomed to; null for all. @type {[number, number] | null} */
    this.zoom = null;
    /** The step that is read off. @type {number | null} */
    this.cursor = null;
    /** Where a range began that is being dragged. @type {{x: number, to: number} | null} */
    this.drag = null;
    this.frame = 0;
    this.element = document.createElement("div");
    this.element.className = "visionsmith-chart";
    this.element.dataset.captureWheel = "true"; // Vue's renderer then leaves the wheel to us, once one has clicked here
    this.head = new Head(actions);
    this.legend = new Legend();
    this.foot = new Foot({ smooth: () => this.toggleSmooth(), log: () => this.toggleLog(), all: () => this.showAll() });
    this.picture = svg("svg", { class: "plot", tabindex: 0, role: "slider", "aria-label": t("Training chart"), "aria-description": keys() });
    this.overlay = svg("g", { class: "cursor" });
    this.element.append(this.head.element, this.picture, this.legend.element, this.foot.element);
    this.listen();
    new ResizeObserver(() => this.later()).observe(this.picture);
    this.draw();
  }

  /** Show a chart from its beginning, or what came to it. @param {Told} told @param {boolean} [whole] whether these are all of its points */
  show(told, whole = false) {
    if (whole || (told.run && told.run !== this.run)) {
      const other = told.run !== this.run;
      this.curve = new Curve();
      this.run = told.run ?? "";
      if (other) [this.zoom, this.cursor] = [null, null];
    }
    this.curve.add(told.points);
    this.metric = told.metric ?? this.metric;
    this.end = told.state === "preparing" ? 1 : lastStep(told.step ?? 1, told.steps ?? 1, isBusy(told.state));
    this.head.say(told);
    this.foot.say(told.notes ?? []);
    this.later();
  }

  /** What is looked at. @returns {[number, number]} */
  get view() {
    return this.zoom ?? [0, this.end];
  }

  /** What is drawn: lines to read values off, and behind them what was smoothed. @returns {{lines: import("./curve.mjs").Line[], behind: import("./curve.mjs").Line[]}} */
  get lines() {
    const lines = this.curve.lines(this.metric);
    if (!this.smooth) return { lines, behind: [] };
    const calm = lines.map((line) => (line.key === "train" ? { ...line, values: smoothed(line.values, DECAY) } : line));
    return { lines: calm, behind: lines.filter((line) => line.key === "train") };
  }

  /** @returns {import("./plot.mjs").Drawing} */
  get drawing() {
    const { clientWidth, clientHeight } = this.picture;
    const names = { loss: t("loss"), metric: this.metric };
    const size = { width: Math.max(120, clientWidth), height: Math.max(80, clientHeight) };
    return { ...this.lines, names, view: this.view, log: this.log, ...size };
  }

  later() {
    this.frame ||= requestAnimationFrame(() => this.draw());
  }

  draw() {
    this.frame = 0;
    const { drawing } = this;
    this.panes = panesOf(drawing);
    this.picture.replaceChildren(...elementsOf(drawing, this.panes), this.overlay);
    this.foot.mark(this.smooth, this.log, this.zoom !== null);
    this.read(drawing);
  }

  /** Put the cursor where it is, and say what is there; without one, the last values. @param {import("./plot.mjs").Drawing} drawing */
  read(drawing) {
    const at = this.cursor ?? drawing.view[1];
    const found = drawing.lines.map((line) => ({ line, value: nearest(line.values, at) }));
    const parts = [];
    if (this.cursor !== null) {
      const x = xOf(drawing, this.cursor);
      parts.push(svg("line", { x1: x, x2: x, y1: MARGIN.top, y2: drawing.height - MARGIN.bottom }));
      for (const { line, value } of found) {
        const pane = this.panes?.find((one) => one.pane === line.pane);
        const y = pane && value ? yOf(pane, value[1]) : null;
        if (y !== null && value) parts.push(svg("circle", { cx: xOf(drawing, value[0]), cy: y, r: 3.5, class: line.key }));
      }
    }
    if (this.drag) {
      const [left, right] = [Math.min(this.drag.x, this.drag.to), Math.max(this.drag.x, this.drag.to)];
      parts.push(svg("rect", { x: left, width: right - left, y: MARGIN.top, height: drawing.height - MARGIN.top - MARGIN.bottom }));
    }
    this.overlay.replaceChildren(...parts);
    this.legend.say(found, drawing.names, this.cursor);
    this.describe(found, drawing.view);
  }

  /** @param {{line: import("./curve.mjs").Line, value: import("./curve.mjs").Value | undefined}[]} found @param {[number, number]} view */
  describe(found, view) {
    const words = found.map(({ line, value }) => (value ? `${line.label} ${exact(value[1])}` : "")).join(", ");
    const step = Math.round(this.cursor ?? found[0]?.value?.[0] ?? 0);
    const attributes = { valuemin: Math.round(view[0]), valuemax: Math.round(view[1]), valuenow: step, valuetext: words ? `${t("step {step}", { step })}: ${words}` : t("nothing yet") };
    for (const [name, value] of Object.entries(attributes)) this.picture.setAttribute(`aria-${name}`, String(value));
  }

  toggleLog() {
    this.log = !this.log;
    this.later();
  }

  toggleSmooth() {
    this.smooth = !this.smooth;
    this.later();
  }

  showAll() {
    this.zoom = null;
    this.later();
  }

  /** @param {[number, number]} view */
  zoomTo(view) {
    this.zoom = view[0] <= 0 && view[1] >= this.end ? null : view;
    this.later();
  }

  listen() {
    const { picture } = this;
    picture.addEventListener("pointermove", (event) => this.onMove(/** @type {PointerEvent} */ (event)));
    picture.addEventListener("pointerleave", () => this.moveTo(null));
    picture.addEventListener("pointerdown", (event) => this.onDown(/** @type {PointerEvent} */ (event)));
    picture.addEventListener("pointerup", (event) => this.onUp(/** @type {PointerEvent} */ (event)));
    picture.addEventListener("pointercancel", () => (this.drag = null));
    picture.addEventListener("dblclick", (event) => {
      event.stopPropagation();
      this.showAll();
    });
    picture.addEventListener("wheel", (event) => this.onWheel(/** @type {WheelEvent} */ (event)), { passive: false });
    picture.addEventListener("keydown", (event) => this.onKey(/** @type {KeyboardEvent} */ (event)));
  }

  /** Pixels of the picture from its left, whatever the canvas is zoomed to. @param {MouseEvent} event */
  xAt(event) {
    const box = this.picture.getBoundingClientRect();
    return ((event.clientX - box.left) / Math.max(1, box.width)) * this.drawing.width;
  }

  /** @param {number | null} step */
  moveTo(step) {
    this.cursor = step;
    this.read(this.drawing);
  }

  /** @param {PointerEvent} event */
  onMove(event) {
    if (event.buttons & ~1) return; // the canvas is being moved
    const x = this.xAt(event);
    if (this.drag) {
      event.stopPropagation();
      this.drag.to = Math.min(Math.max(x, MARGIN.left), this.drawing.width - MARGIN.right);
    }
    this.moveTo(stepAt(this.drawing, x));
  }

  /** @param {PointerEvent} event */
  onDown(event) {
    if (event.button !== 0) return;
    event.stopPropagation();
    this.picture.setPointerCapture(event.pointerId);
    this.picture.focus({ preventScroll: true });
    const x = this.xAt(event);
    this.drag = { x, to: x };
  }

  /** @param {PointerEvent} event */
  onUp(event) {
    if (!this.drag) return;
    event.stopPropagation();
    const { x, to } = this.drag;
    const ends = [stepAt(this.drawing, x), stepAt(this.drawing, to)].sort((a, b) => a - b);
    this.drag = null;
    if (Math.abs(to - x) >= DRAG) this.zoomTo(zoomed([ends[0], ends[1]], (ends[0] + ends[1]) / 2, 1, this.end));
    else this.later();
  }

  /** The wheel is the canvas's until one has clicked here. @param {WheelEvent} event */
  onWheel(event) {
    if (document.activeElement !== this.picture || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    this.zoomTo(zoomed(this.view, stepAt(this.drawing, this.xAt(event)), event.deltaY > 0 ? 1.25 : 0.8, this.end));
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const move = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
    const around = this.cursor ?? (this.view[0] + this.view[1]) / 2;
    if (move !== undefined) this.stepBy(event.shiftKey ? 10 * move : move);
    else if (event.key === "+" || event.key === "=") this.zoomTo(zoomed(this.view, around, 0.5, this.end));
    else if (event.key === "-") this.zoomTo(zoomed(this.view, around, 2, this.end));
    else if (event.key === "Escape") this.showAll();
    else if (event.key.toLowerCase() === "l") this.toggleLog();
    else if (event.key.toLowerCase() === "s") this.toggleSmooth();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** Read the next values of the line with the most of them; the view follows. @param {number} count */
  stepBy(count) {
    const values = this.curve.lines(this.metric).reduce((most, line) => (line.values.length > most.length ? line.values : most), /** @type {import("./curve.mjs").Value[]} */ ([]));
    if (!values.length) return;
    const here = this.cursor === null ? values.length - (count > 0 ? 1 : 0) : values.indexOf(/** @type {any} */ (nearest(values, this.cursor)));
    const [step] = values[Math.min(values.length - 1, Math.max(0, here + count))];
    const [from, to] = this.view;
    if (step < from || step > to) {
      const start = Math.min(Math.max(0, step - (to - from) / 2), this.end - (to - from));
      this.zoomTo([start, start + to - from]);
    }
    this.moveTo(step);
  }
}
