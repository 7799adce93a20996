/** How marks look: a sign, a shape and a line that can be told apart without their colours, on any picture. */
import { corners } from "./geometry.mjs";

/** @typedef {import("./marks.mjs").Mark} Mark */

const SVG = "http://www.w3.org/2000/svg";
const COLORS = { positive: "#137333", negative: "#b3261e" };

/** @param {string} name @param {Record<string, string | number>} [attributes] @returns {SVGElement} */
export function svg(name, attributes = {}) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
  return element;
}

/** @param {Mark} mark */
const colorOf = (mark) => (mark.positive ? COLORS.positive : COLORS.negative);

/** The plus or minus at the heart of every mark. @param {Mark} mark @param {number} u one pixel of the screen */
function sign(mark, u) {
  const plus = mark.positive ? `M0 ${-4 * u}V${4 * u}` : "";
  return svg("path", { d: `M${-4 * u} 0H${4 * u}${plus}`, stroke: "#fff", "stroke-width": 2 * u, "stroke-linecap": "round" });
}

/** A number beside the sign, where there is more than one object. @param {number} object @param {number} u */
function tag(object, u) {
  const text = svg("text", {
    x: 12 * u,
    y: 4 * u,
    "font-size": 12 * u,
    "font-weight": "bold",
    fill: "#fff",
    stroke: "#000",
    "stroke-width": 3 * u,
    "paint-order": "stroke",
  });
  text.textContent = String(object + 1);
  return text;
}

/** @param {import("./marks.mjs").PointMark} mark @param {boolean} selected @param {boolean} tagged @param {number} u */
function pointShapes(mark, selected, tagged, u) {
  const place = svg("g", { transform: `translate(${mark.x + 0.5} ${mark.y + 0.5})` });
  place.append(
    svg("circle", { r: 9.5 * u, fill: "#000" }),
    svg("circle", { r: 8.5 * u, fill: "#fff" }),
    svg("circle", { r: 7 * u, fill: colorOf(mark) }),
    sign(mark, u),
  );
  if (selected) place.prepend(svg("circle", { r: 13 * u, fill: "none", stroke: "#000", "stroke-width": 4 * u }), svg("circle", { r: 13 * u, fill: "none", stroke: "#fff", "stroke-width": 2 * u }));
  if (tagged) place.append(tag(mark.object, u));
  return [place];
}

/** @param {import("./marks.mjs").BoxMark} mark @param {boolean} selected @param {number} u */
function boxShapes(mark, selected, u) {
  const place = { x: mark.x, y: mark.y, width: mark.width, height: mark.height, fill: "none" };
  /** @type {Record<string, string>} */
  const dash = mark.positive ? {} : { "stroke-dasharray": `${7 * u} ${5 * u}` };
  const badge = svg("g", { transform: `translate(${mark.x} ${mark.y})` });
  const side = 8 * u;
  badge.append(
    svg("rect", { x: -side - u, y: -side - u, width: 2 * (side + u), height: 2 * (side + u), fill: "#000" }),
    svg("rect", { x: -side, y: -side, width: 2 * side, height: 2 * side, fill: "#fff" }),
    svg("rect", { x: -side + 1.5 * u, y: -side + 1.5 * u, width: 2 * side - 3 * u, height: 2 * side - 3 * u, fill: colorOf(mark) }),
    sign(mark, u),
  );
  const handles = corners(mark).slice(selected ? 1 : 4).map(({ x, y }) =>
    svg("rect", { x: x - 5 * u, y: y - 5 * u, width: 10 * u, height: 10 * u, fill: "#fff", stroke: "#000", "stroke-width": 1.5 * u }));
  return [
    svg("rect", { ...place, stroke: "#000", "stroke-width": (selected ? 7 : 5) * u }),
    svg("rect", { ...place, stroke: "#fff", "stroke-width": (selected ? 5 : 3.5) * u }),
    svg("rect", { ...place, stroke: colorOf(mark), "stroke-width": (selected ? 3 : 2) * u, ...dash }),
    ...handles,
    badge,
  ];
}

/**
 * The shapes of a mark.
 * @param {Mark} mark @param {boolean} selected @param {boolean} tagged whether to say which object it belongs to
 * @param {number} u pixels of the picture that are one pixel of the screen
 */
export function shapesOf(mark, selected, tagged, u) {
  return mark.kind === "box" ? boxShapes(mark, selected, u) : pointShapes(mark, selected, tagged, u);
}
