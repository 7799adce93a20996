import { t } from "../words/text.mjs";

/**
 * The marks on a picture — points and boxes in its pixels — as text, and their history. Nothing in here knows the page.
 *
 * @typedef {{kind: "point", x: number, y: number, positive: boolean, object: number}} PointMark
 * @typedef {{kind: "box", x: number, y: number, width: number, height: number, positive: boolean}} BoxMark
 * @typedef {PointMark | BoxMark} Mark
 */

const MOST_UNDO = 200;

/** Only the number 0, false and "negative" say no: boxes of other nodes have the name of a class there. @param {unknown} label */
const isPositive = (label) => label !== 0 && label !== false && label !== "negative";

/** @param {unknown} value @param {string} name */
function number(value, name) {
  const found = typeof value === "string" && value.trim() ? Number(value) : value;
  if (typeof found !== "number" || !Number.isFinite(found)) throw new Error(t("{name} is {value}, which is no number.", { name, value: JSON.stringify(value) ?? "undefined" }));
  return found;
}

/** @param {any} one @param {boolean} [positive] @returns {Mark} */
function pointOf(one, positive) {
  const given = Array.isArray(one) ? { x: one[0], y: one[1], label: one[2] ?? 1 } : one;
  return {
    kind: "point",
    x: number(given?.x, t("{name} of a point", { name: "x" })),
    y: number(given?.y, t("{name} of a point", { name: "y" })),
    positive: positive ?? isPositive(given.label ?? 1),
    object: Math.trunc(number(given.object ?? 0, t("{name} of a point", { name: "object" }))),
  };
}

/** @param {any} one @returns {Mark} */
function boxOf(one) {
  const [x, y, width, height] = ["x", "y", "width", "height"].map((key) => number(one?.[key], t("{name} of a box", { name: key })));
  return { kind: "box", x, y, width, height, positive: isPositive(one.label ?? 1) };
}

/**
 * The marks of a text, in every notation that the node itself understands.
 * @param {string} text @returns {Mark[]} @throws {Error} if it is another text; the message is a sentence
 */
export function read(text) {
  if (!text.trim()) return [];
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Error(t("The points are no JSON."));
  }
  if (Array.isArray(value)) return value.map((one) => pointOf(one));
  if (value === null || typeof value !== "object") throw new Error(t("The points are neither a list nor an object."));
  if ("x" in value) return [pointOf(value)];
  const known = ["points", "positive", "negative", "boxes"];
  if (!known.some((key) => key in value)) throw new Error(t("The points have none of {names}.", { names: known.join(", ") }));
  return [
    ...(value.points ?? []).map((/** @type {any} */ one) => pointOf(one)),
    ...(value.positive ?? []).map((/** @type {any} */ one) => pointOf(one)),
    ...(value.negative ?? []).map((/** @type {any} */ one) => pointOf(one, false)),
    ...(value.boxes ?? []).map(boxOf),
  ];
}

/** The text of marks: empty, or an object of points and boxes. @param {Mark[]} marks */
export function write(marks) {
  const points = [];
  const boxes = [];
  for (const mark of marks) {
    const label = mark.positive ? {} : { label: 0 };
    if (mark.kind === "box") boxes.push({ x: mark.x, y: mark.y, width: mark.width, height: mark.height, ...label });
    else points.push({ x: mark.x, y: mark.y, ...label, ...(mark.object ? { object: mark.object } : {}) });
  }
  return marks.length ? JSON.stringify({ points, boxes }) : "";
}

/** A mark in words, for those who do not see it. @param {Mark} mark @param {number} index @param {number} count */
export function describe(mark, index, count) {
  return `${t("Mark {at} of {all}", { at: index + 1, all: count })}: ${kindOf(mark)}, x ${mark.x}, y ${mark.y}${mark.kind === "box" ? `, ${mark.width} × ${mark.height}` : ""}`;
}

/** @param {Mark} mark */
function kindOf(mark) {
  if (mark.kind === "box") return mark.positive ? t("positive box") : t("negative box");
  const object = mark.object + 1;
  if (object === 1) return mark.positive ? t("positive point") : t("negative point");
  return mark.positive ? t("positive point of object {object}", { object }) : t("negative point of object {object}", { object });
}

/** The marks of one node, which one is selected, and what undo and redo lead to. Views ask to be told of changes. */
export class Marks {
  constructor() {
    /** @type {Mark[]} */
    this.list = [];
    this.selected = -1;
    /** Why the text cannot be shown; it is left as it is until someone draws or clears. */
    this.problem = "";
    this.text = "";
    /** @type {Set<() => void>} */
    this.views = new Set();
    /** @type {Mark[][]} */
    this.past = [];
    /** @type {Mark[][]} */
    this.future = [];
    /** The gesture that the last change belongs to. @type {string} */
    this.gesture = "";
  }

  /** Take a text from outside (a workflow that is opened, a pasted node); our own comes back without effect. @param {unknown} text */
  setText(text) {
    const given = typeof text === "string" ? text : text ? JSON.stringify(text) : "";
    if (given === this.text) return;
    this.text = given;
    this.problem = "";
    this.selected = -1;
    [this.past, this.future, this.gesture] = [[], [], ""];
    try {
      this.list = read(given);
    } catch (error) {
      this.list = [];
      this.problem = error instanceof Error ? error.message : String(error);
    }
    this.tell();
  }

  /**
   * Put other marks in the place of all, as one step of the history; changes of the same gesture are one step together.
   * @param {Mark[]} list @param {number} [selected] @param {string} [gesture]
   */
  change(list, selected = this.selected, gesture = "") {
    if (!gesture || gesture !== this.gesture) {
      this.past.push(this.list);
      if (this.past.length > MOST_UNDO) this.past.shift();
      this.future = [];
    }
    this.gesture = gesture;
    this.show(list, selected);
  }

  /** @param {Mark[]} list @param {number} selected */
  show(list, selected) {
    this.list = list;
    this.selected = selected < list.length ? selected : -1;
    this.text = write(list);
    this.problem = "";
    this.tell();
  }

  /** @param {Mark} mark @param {string} [gesture] */
  add(mark, gesture) {
    this.change([...this.list, mark], this.list.length, gesture);
  }

  /** @param {number} index @param {Partial<Mark>} values @param {string} [gesture] */
  edit(index, values, gesture) {
    this.change(this.list.map((mark, i) => (i === index ? /** @type {Mark} */ ({ ...mark, ...values }) : mark)), index, gesture);
  }

  /** @param {number} index */
  remove(index) {
    const list = this.list.filter((_, i) => i !== index);
    this.change(list, Math.min(index, list.length - 1));
  }

  clear() {
    if (this.list.length || this.problem) this.change([], -1);
  }

  /** @param {number} index */
  select(index) {
    this.gesture = "";
    if (index === this.selected) return;
    this.selected = index;
    this.tell();
  }

  undo() {
    const list = this.past.pop();
    if (!list) return;
    this.future.push(this.list);
    this.gesture = "";
    this.show(list, this.selected);
  }

  redo() {
    const list = this.future.pop();
    if (!list) return;
    this.past.push(this.list);
    this.gesture = "";
    this.show(list, this.selected);
  }

  /** Take back what a gesture did so far, as if it had never begun. @param {string} gesture */
  cancel(gesture) {
    if (this.gesture !== gesture) return;
    this.undo();
    this.future = [];
  }

  tell() {
    for (const view of this.views) view();
  }
}
