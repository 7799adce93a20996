/** Draws a chart as SVG: the losses above, the metric below where there is one, steps along both. */
import { t } from "../words/text.mjs";
import { drawn } from "./curve.mjs";
import { linearTicks, place, scaleFor, short, ticks } from "./scale.mjs";

/** @typedef {import("./curve.mjs").Line} Line @typedef {import("./scale.mjs").Scale} Scale */
/** @typedef {{lines: Line[], behind: Line[], names: Record<string, string>, view: [number, number], log: boolean, width: number, height: number}} Drawing `names` are those of the panes */
/** @typedef {{pane: string, top: number, bottom: number, scale: Scale}} Pane */

export const MARGIN = { left: 46, right: 10, top: 6, bottom: 18 };
const GAP = 18;
const TICK = 15; // pixels from one to the next, at least
const MARKED = 60; // validations that are marked by dots, at most

/** @param {string} name @param {Record<string, string | number>} attributes @param {string} [text] */
export function svg(name, attributes, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
  if (text !== undefined) element.textContent = text;
  return element;
}

/** Where a step lies. @param {Drawing} drawing @param {number} step */
export function xOf({ view, width }, step) {
  return MARGIN.left + ((step - view[0]) / (view[1] - view[0])) * (width - MARGIN.left - MARGIN.right);
}

/** The step at a place. @param {Drawing} drawing @param {number} x */
export function stepAt({ view, width }, x) {
  const share = (x - MARGIN.left) / Math.max(1, width - MARGIN.left - MARGIN.right);
  return view[0] + Math.min(1, Math.max(0, share)) * (view[1] - view[0]);
}

/** Where a value lies in its pane; null where it has no place. @param {Pane} pane @param {number} value */
export function yOf({ top, bottom, scale }, value) {
  const share = place(scale, value);
  return share === null ? null : bottom - share * (bottom - top);
}

/** The panes that have something in view. @param {Drawing} drawing @returns {Pane[]} */
export function panesOf({ lines, behind, view, log, width, height }) {
  const found = [];
  for (const pane of ["loss", "metric"]) {
    const seen = [...lines, ...behind].filter((line) => line.pane === pane).flatMap((line) => drawn(line.values, view, width).map(([, value]) => value));
    const scale = scaleFor(seen, log && pane === "loss");
    if (scale) found.push({ pane, scale });
  }
  const room = height - MARGIN.top - MARGIN.bottom;
  const [first, second] = found;
  if (!second) return first ? [{ ...first, top: MARGIN.top, bottom: MARGIN.top + room }] : [];
  const split = MARGIN.top + Math.round((room - GAP) * 0.54);
  return [{ ...first, top: MARGIN.top, bottom: split }, { ...second, top: split + GAP, bottom: MARGIN.top + room }];
}

/** Everything but the cursor. @param {Drawing} drawing @param {Pane[]} panes @returns {Element[]} */
export function elementsOf(drawing, panes) {
  const parts = [...axes(drawing, panes)];
  for (const lines of [drawing.behind, drawing.lines]) {
    for (const line of lines) {
      const pane = panes.find((one) => one.pane === line.pane);
      if (pane) parts.push(...traced(drawing, pane, line, lines === drawing.behind ? "behind" : ""));
    }
  }
  return [...parts, ...titles(drawing, panes)];
}

/** @param {Drawing} drawing @param {Pane[]} panes */
function* axes(drawing, panes) {
  const { view, width, height } = drawing;
  const right = width - MARGIN.right;
  for (const pane of panes) {
    for (const value of ticks(pane.scale, Math.max(2, Math.floor((pane.bottom - pane.top) / TICK)))) {
      const y = yOf(pane, value);
      if (y === null) continue;
      yield svg("line", { x1: MARGIN.left, x2: right, y1: y, y2: y, class: "grid" });
      yield svg("text", { x: MARGIN.left - 5, y: y + 4, "text-anchor": "end" }, short(value));
    }
  }
  const low = height - MARGIN.bottom;
  yield svg("line", { x1: MARGIN.left, x2: right, y1: low, y2: low, class: "axis" });
  for (const step of linearTicks(view[0], view[1], Math.max(2, Math.floor(width / 90)))) {
    const x = xOf(drawing, step);
    if (x > right - 14) continue;
    yield svg("line", { x1: x, x2: x, y1: low, y2: low + 3, class: "axis" });
    yield svg("text", { x, y: height - 4, "text-anchor": "middle" }, short(step));
  }
  yield svg("text", { x: right, y: height - 4, "text-anchor": "end", class: "unit" }, t("step"));
}

/** What each pane shows, in the corner that its lines seldom end in. @param {Drawing} drawing @param {Pane[]} panes */
function* titles({ lines, names, width }, panes) {
  for (const pane of panes) {
    const last = lines.find((line) => line.pane === pane.pane)?.values.at(-1);
    const high = last && (place(pane.scale, last[1]) ?? 0) > 0.5;
    yield svg("text", { x: width - MARGIN.right, y: high ? pane.bottom - 4 : pane.top + 10, "text-anchor": "end", class: "title" }, names[pane.pane]);
  }
}

/** A line, and dots where validations are few enough to tell apart. @param {Drawing} drawing @param {Pane} pane @param {Line} line @param {string} style */
function* traced(drawing, pane, line, style) {
  const dots = [];
  let path = "";
  for (const [step, value] of drawn(line.values, drawing.view, drawing.width / 2)) {
    const y = yOf(pane, value);
    if (y === null) continue;
    const at = `${xOf(drawing, step).toFixed(1)} ${y.toFixed(1)}`;
    path += `${path ? "L" : "M"}${at}`;
    dots.push(at);
  }
  if (!path) return;
  yield svg("path", { d: path, class: style ? `${style} ${line.key}` : `line ${line.key}` });
  if (style) return;
  const marked = line.key === "val" || line.key === "metric" ? MARKED : 1; // one alone is no line
  if (dots.length > marked) return;
  yield svg("path", { d: dots.map((at) => `M${at}h0`).join(""), class: `dots ${line.key}` });
}
