/**
 * Where things lie: from the pointer to the picture's pixels, and which mark is under it.
 *
 * @typedef {import("./marks.mjs").Mark} Mark
 * @typedef {import("./marks.mjs").BoxMark} BoxMark
 * @typedef {{x: number, y: number}} Place
 * @typedef {{width: number, height: number}} Size
 * @typedef {{index: number, corner: number}} Hit corner: -1 the whole mark, else a corner of a box in the order of `corners`
 */

const NEAR_POINT = 11;
const NEAR_EDGE = 6;

/** Pixels of the picture per pixel of an area that shows all of it. @param {Size} picture @param {Size} area */
export function scaleOf(picture, area) {
  return Math.max(picture.width / Math.max(1, area.width), picture.height / Math.max(1, area.height));
}

/**
 * The place in the picture under a pointer. The picture is centred in the area; the area's rectangle on the screen has all zoom in it.
 * @param {Place} pointer @param {DOMRect} area @param {Size} picture @returns {Place}
 */
export function toPicture(pointer, area, picture) {
  const scale = scaleOf(picture, area);
  return {
    x: (pointer.x - area.left - area.width / 2) * scale + picture.width / 2,
    y: (pointer.y - area.top - area.height / 2) * scale + picture.height / 2,
  };
}

/** @param {number} value @param {number} low @param {number} high */
const clamp = (value, low, high) => Math.min(Math.max(Math.round(value), low), Math.max(low, high));

/** The pixel at a place, or the nearest one inside the picture. @param {Place} place @param {Size} picture @returns {Place} */
export function inside(place, picture) {
  return { x: clamp(Math.floor(place.x), 0, picture.width - 1), y: clamp(Math.floor(place.y), 0, picture.height - 1) };
}

/** The box between two places, in whole pixels inside the picture, at least one pixel large. @param {Place} a @param {Place} b @param {Size} picture */
export function boxBetween(a, b, picture) {
  const x = clamp(Math.min(a.x, b.x), 0, picture.width - 1);
  const y = clamp(Math.min(a.y, b.y), 0, picture.height - 1);
  return {
    x,
    y,
    width: clamp(Math.max(a.x, b.x) - x, 1, picture.width - x),
    height: clamp(Math.max(a.y, b.y) - y, 1, picture.height - y),
  };
}

/** A mark moved by whole pixels, kept inside the picture. @param {Mark} mark @param {number} dx @param {number} dy @param {Size} picture */
export function moved(mark, dx, dy, picture) {
  const width = mark.kind === "box" ? mark.width : 1;
  const height = mark.kind === "box" ? mark.height : 1;
  return { x: clamp(mark.x + dx, 0, picture.width - width), y: clamp(mark.y + dy, 0, picture.height - height) };
}

/** The corners of a box, clockwise from the top left. @param {BoxMark} box @returns {Place[]} */
export function corners({ x, y, width, height }) {
  return [
    { x, y },
    { x: x + width, y },
    { x: x + width, y: y + height },
    { x, y: y + height },
  ];
}

/** @param {Place} a @param {Place} b */
const distance = (a, b) => Math.hypot(a.x - b.x, a.y - b.y);

/** @param {BoxMark} box @param {Place} place @param {number} near */
function onEdge(box, place, near) {
  const outside = place.x < box.x - near || place.x > box.x + box.width + near || place.y < box.y - near || place.y > box.y + box.height + near;
  const within = place.x > box.x + near && place.x < box.x + box.width - near && place.y > box.y + near && place.y < box.y + box.height - near;
  return !outside && !within;
}

/**
 * The mark under a place: corners of the selected box first, then points, then the edges of boxes; what was drawn last lies on top.
 * @param {Mark[]} marks @param {number} selected @param {Place} place @param {number} scale pixels of the picture per pixel of the screen
 * @returns {Hit | null}
 */
export function hit(marks, selected, place, scale) {
  const chosen = marks[selected];
  if (chosen?.kind === "box") {
    const corner = corners(chosen).findIndex((one) => distance(one, place) <= NEAR_POINT * scale);
    if (corner >= 0) return { index: selected, corner };
  }
  for (const kind of ["point", "box"]) {
    for (let index = marks.length - 1; index >= 0; index--) {
      const mark = marks[index];
      if (mark.kind !== kind) continue;
      const found = mark.kind === "box" ? onEdge(mark, place, NEAR_EDGE * scale) : distance(mark, place) <= NEAR_POINT * scale;
      if (found) return { index, corner: -1 };
    }
  }
  return null;
}
