/**
 * A line chart of a training as SVG: loss on the left axis, the metric on the right, epochs below.
 * @typedef {[epoch: number, train: number|null, val: number|null, metric: number|null]} Point
 */

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 400;
const HEIGHT = 200;
const START = "The chart appears here while training.";
const MARGIN = { left: 42, right: 42, top: 22, bottom: 22 };
/** @type {{index: 1 | 2 | 3, label: string, color: string, axis: "loss" | "metric"}[]} */
const SERIES = [
  { index: 1, label: "train loss", color: "#5b8def", axis: "loss" },
  { index: 2, label: "val loss", color: "#f0a04b", axis: "loss" },
  { index: 3, label: "metric", color: "#4fbf7f", axis: "metric" },
];

const AXES = [
  { axis: "loss", columns: [1, 2], side: MARGIN.left - 4, anchor: "end" },
  { axis: "metric", columns: [3], side: WIDTH - MARGIN.right + 4, anchor: "start" },
];

/** @param {string} name @param {Record<string, string|number>} attributes @param {string} [text] */
function svg(name, attributes, text) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
  if (text !== undefined) element.textContent = text;
  return element;
}

/**
 * The lowest and highest finite value of some columns of the points; a flat line gets room above and below.
 * @param {Point[]} points @param {readonly number[]} columns @returns {[number, number]|null}
 */
export function range(points, columns) {
  let low = Infinity;
  let high = -Infinity;
  for (const point of points) {
    for (const column of columns) {
      const value = point[column];
      if (value === null || !Number.isFinite(value)) continue;
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
  }
  if (low > high) return null;
  return low === high ? [low - 0.5, high + 0.5] : [low, high];
}

/**
 * The SVG path through the points that have a value in `column`.
 * @param {Point[]} points @param {1 | 2 | 3} column @param {(v: number) => number} x @param {(v: number) => number} y
 */
export function path(points, column, x, y) {
  const there = points.flatMap((point) => (Number.isFinite(point[column]) ? [[x(point[0]), y(Number(point[column]))]] : []));
  return there.map((place, i) => `${i ? "L" : "M"}${place[0].toFixed(1)} ${place[1].toFixed(1)}`).join("");
}

/** A number short enough for an axis. @param {number} value */
export function short(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  return size >= 1000 || size < 0.001 ? value.toExponential(1) : String(Number(value.toPrecision(3)));
}

/** Seconds as m:ss. @param {number} seconds */
export function clock(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

/** The chart in one node: takes points as they come and draws at most once a frame. */
export class Chart {
  constructor() {
    this.element = document.createElement("div");
    this.element.className = "visionsmith-chart";
    this.element.style.cssText = "width:100%;height:100%;min-height:190px;background:var(--comfy-input-bg);border-radius:6px;overflow:hidden";
    /** @type {number | undefined} */
    this.frame = undefined;
    /** The last step that was told. @type {number | undefined} */
    this.step = undefined;
    this.picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, width: "100%", height: "100%", role: "img", "aria-label": "training chart" });
    this.element.append(this.picture);
    /** @type {Point[]} */
    this.points = [];
    this.metric = "metric";
    this.epochs = 1;
    this.status = START;
    this.draw();
  }

  /** Forget everything, for a new training. */
  clear() {
    this.points = [];
    this.metric = "metric";
    this.epochs = 1;
    this.status = START;
    this.draw();
  }

  /**
   * @param {{points: Point[], metric?: string, epochs?: number}} data
   * @param {string} status one line above the chart
   */
  add(data, status) {
    this.points.push(...data.points);
    if (this.points.length > 4000) this.points = this.points.filter((point, i) => i % 2 || point[2] !== null || point[3] !== null);
    this.metric = data.metric ?? this.metric;
    this.epochs = Math.max(1, data.epochs ?? this.epochs);
    this.status = status;
    this.frame ??= requestAnimationFrame(() => this.draw());
  }

  draw() {
    this.frame = undefined;
    const bottom = HEIGHT - MARGIN.bottom;
    const x = (/** @type {number} */ value) => MARGIN.left + (value / this.epochs) * (WIDTH - MARGIN.left - MARGIN.right);
    const parts = [svg("text", { x: MARGIN.left, y: 14, fill: "var(--input-text)", "font-size": 11 }, this.status)];
    parts.push(svg("line", { x1: MARGIN.left, x2: WIDTH - MARGIN.right, y1: bottom, y2: bottom, stroke: "var(--border-color)" }));
    for (const { axis, columns, side, anchor } of AXES) {
      const found = range(this.points, columns);
      if (!found) continue;
      const [low, high] = found;
      const y = (/** @type {number} */ value) => bottom - ((value - low) / (high - low)) * (bottom - MARGIN.top - 6);
      for (const value of [low, (low + high) / 2, high]) {
        parts.push(svg("text", { x: side, y: y(value) + 4, fill: "var(--descrip-text)", "font-size": 10, "text-anchor": anchor }, short(value)));
      }
      for (const series of SERIES.filter((one) => one.axis === axis)) {
        const line = path(this.points, series.index, x, y);
        if (line) parts.push(svg("path", { d: line, fill: "none", stroke: series.color, "stroke-width": series.index === 1 ? 1.2 : 2 }));
      }
    }
    parts.push(...this.legend());
    this.picture.replaceChildren(...parts);
  }

  legend() {
    const parts = [svg("text", { x: WIDTH - MARGIN.right, y: HEIGHT - 7, fill: "var(--descrip-text)", "font-size": 10, "text-anchor": "end" }, `${this.epochs} epochs`)];
    let left = MARGIN.left;
    for (const series of SERIES) {
      if (!range(this.points, [series.index])) continue;
      const label = series.axis === "metric" ? this.metric : series.label;
      parts.push(svg("rect", { x: left, y: HEIGHT - 13, width: 10, height: 3, fill: series.color }));
      parts.push(svg("text", { x: left + 13, y: HEIGHT - 7, fill: "var(--descrip-text)", "font-size": 10 }, label));
      left += 26 + 5.4 * label.length;
    }
    return parts;
  }
}
