import { t } from "../words/text.mjs";

/**
 * What a chart shows, without a page: points as they come, bounded, and the lines that are drawn of them.
 * @typedef {[step: number, train: number|null, val: number|null, metric: number|null, learned?: number|null]} Point as the server tells them; `learned` is the metric over the training split
 * @typedef {[step: number, value: number]} Value
 * @typedef {{key: "train" | "val" | "learned" | "metric", label: string, split: string, pane: "loss" | "metric", values: Value[]}} Line
 */

const MOST = 2000;

/** Every second one from the last on, so that the last one stays. @template T @param {T[]} list @returns {T[]} */
export function halved(list) {
  return list.filter((_, index) => (list.length - 1 - index) % 2 === 0);
}

/** Keep the steps in order: what comes again, or late, is left out. @param {Point[]} list @param {Point} point */
function append(list, point) {
  if (!list.length || point[0] > list[list.length - 1][0]) list.push(point);
  return list.length > MOST ? halved(list) : list;
}

export class Curve {
  constructor() {
    /** Losses of single steps. @type {Point[]} */
    this.steps = [];
    /** What epochs came to. @type {Point[]} */
    this.epochs = [];
  }

  /** @param {Point[]} points */
  add(points) {
    for (const point of points) {
      const ofStep = point[2] === null && point[3] === null && (point[4] ?? null) === null;
      if (ofStep) this.steps = append(this.steps, point);
      else this.epochs = append(this.epochs, point);
    }
  }

  /** The lines that have something to show. @param {string} metric its name @returns {Line[]} */
  lines(metric) {
    const train = this.steps.length >= this.epochs.length ? this.steps : this.epochs; // where epochs are shorter than the time between two events
    /** @type {Line[]} */
    const lines = [
      { key: "train", label: t("train loss"), split: t("train"), pane: "loss", values: valuesOf(train, 1) },
      { key: "val", label: t("val loss"), split: t("val"), pane: "loss", values: valuesOf(this.epochs, 2) },
    ];
    if (metric !== "loss") {
      lines.push({ key: "learned", label: t("train {metric}", { metric }), split: t("train"), pane: "metric", values: valuesOf(this.epochs, 4) });
      lines.push({ key: "metric", label: t("val {metric}", { metric }), split: t("val"), pane: "metric", values: valuesOf(this.epochs, 3) });
    }
    return lines.filter((line) => line.values.length);
  }
}

/** @param {Point[]} points @param {1 | 2 | 3 | 4} column @returns {Value[]} */
function valuesOf(points, column) {
  /** @type {Value[]} */
  const values = [];
  for (const point of points) {
    const value = point[column];
    if (typeof value === "number" && Number.isFinite(value)) values.push([point[0], value]);
  }
  return values;
}

/**
 * The exponential moving average, freed from its pull towards 0 at the beginning (Kingma & Ba 2015, arXiv:1412.6980, section 3).
 * @param {Value[]} values @param {number} decay @returns {Value[]}
 */
export function smoothed(values, decay) {
  let [mean, weight] = [0, 0];
  return values.map(([step, value]) => {
    mean = decay * mean + (1 - decay) * value;
    weight = decay * weight + (1 - decay);
    return [step, mean / weight];
  });
}

/** The value whose step is nearest, by bisection. @param {Value[]} values @param {number} step @returns {Value | undefined} */
export function nearest(values, step) {
  let [low, high] = [0, values.length - 1];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (values[middle][0] < step) low = middle;
    else high = middle;
  }
  const [before, after] = [values[low], values[high]];
  return before && Math.abs(before[0] - step) <= Math.abs(after[0] - step) ? before : after;
}

/**
 * The values of a view, and one more at each side so that lines reach its edges; of very many, the first, lowest, highest and last in each of
 * `columns` columns, so that no peak is lost.
 * @param {Value[]} values @param {[number, number]} view @param {number} columns @returns {Value[]}
 */
export function drawn(values, view, columns) {
  const from = values.findIndex(([step]) => step >= view[0]);
  if (from < 0) return values.slice(-1);
  let to = values.findIndex(([step]) => step > view[1]);
  if (to < 0) to = values.length;
  const seen = values.slice(Math.max(0, from - 1), to + 1);
  if (seen.length <= 4 * columns) return seen;
  /** @type {Value[]} */
  const kept = [];
  const size = Math.ceil(seen.length / columns);
  for (let start = 0; start < seen.length; start += size) {
    const part = seen.slice(start, start + size);
    const low = part.reduce((a, b) => (b[1] < a[1] ? b : a));
    const high = part.reduce((a, b) => (b[1] > a[1] ? b : a));
    for (const value of part) if (value === part[0] || value === low || value === high || value === part[part.length - 1]) kept.push(value);
  }
  return kept;
}
