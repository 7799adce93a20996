/** The picture with its marks: where one points, drags and types. */
import { boxBetween, corners, hit, inside, moved, scaleOf, toPicture } from "./geometry.mjs";
import { shapesOf, svg } from "./drawing.mjs";
import { describe } from "./marks.mjs";
import { t } from "../words/text.mjs";

/** @typedef {import("./marks.mjs").Mark} Mark @typedef {import("./geometry.mjs").Place} Place */
/** @typedef {{url: string, width: number, height: number}} Picture its size is in the pixels that marks count */
/** @typedef {{gesture: string, from: Place, client: Place, index: number, corner: number, mark: Mark | null, began: boolean}} Drag */

const CLICK = 4;
const keys = () => t("Enter or Space: positive or negative. Arrows: move, with Shift by ten, with Control: size of a box. Delete: remove.");
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
let gestures = 0;

/**
 * ComfyUI leaves Ctrl+Z alone only in an element that says it is a text area; our marks have a history of their own too.
 * @param {Element} element
 */
function ownHistory(element) {
  Object.defineProperty(element, "type", { value: "textarea" });
  return element;
}

export class Stage {
  /** @param {import("./marks.mjs").Marks} marks @param {{positive: boolean, object: number}} tool what a click makes */
  constructor(marks, tool) {
    this.marks = marks;
    this.tool = tool;
    /** @type {Picture | null} */
    this.picture = null;
    /** @type {Drag | null} */
    this.drag = null;
    /** @type {SVGElement[]} */
    this.groups = [];
    this.image = svg("image", { preserveAspectRatio: "none" });
    this.element = svg("svg", { class: "visionsmith-stage", role: "group", tabindex: 0 });
    this.element.setAttribute("aria-label", t("Picture with marks. Enter: a point in its middle. Tab: the marks, one after another."));
    ownHistory(this.element).append(this.image);
    this.element.addEventListener("pointerdown", (event) => this.onDown(event));
    this.element.addEventListener("pointermove", (event) => this.onMove(event));
    this.element.addEventListener("pointerup", (event) => this.onUp(event));
    this.element.addEventListener("pointercancel", () => this.cancelDrag());
    this.element.addEventListener("contextmenu", (event) => this.onMenu(/** @type {PointerEvent} */ (event)));
    this.element.addEventListener("keydown", (event) => this.onKey(event));
    this.element.addEventListener("focusin", (event) => this.onFocus(event));
    this.resized = new ResizeObserver(() => this.draw());
    this.resized.observe(this.element);
    this.draw = this.draw.bind(this);
    marks.views.add(this.draw);
    this.draw();
  }

  /** Let go of everything outside. */
  destroy() {
    this.resized.disconnect();
    this.marks.views.delete(this.draw);
  }

  /** @param {Picture | null} picture */
  setPicture(picture) {
    this.picture = picture;
    if (picture) {
      const { url, width, height } = picture;
      this.element.setAttribute("viewBox", `0 0 ${width} ${height}`);
      for (const [key, value] of Object.entries({ href: url, width, height })) this.image.setAttribute(key, String(value));
    } else this.image.removeAttribute("href");
    this.draw();
  }

  /** Pixels of the picture per pixel of the page, whatever the canvas is zoomed to. */
  get unit() {
    return scaleOf(/** @type {Picture} */ (this.picture), { width: this.element.clientWidth, height: this.element.clientHeight });
  }

  draw() {
    const { list, selected } = this.marks;
    const marks = this.picture ? list : [];
    while (this.groups.length > marks.length) this.groups.pop()?.remove();
    while (this.groups.length < marks.length) {
      const group = ownHistory(svg("g", { class: "visionsmith-mark", role: "button", tabindex: 0, "aria-description": keys() }));
      this.groups.push(/** @type {SVGElement} */ (group));
      this.element.append(group);
    }
    if (!this.picture) return;
    const tagged = marks.some((mark) => mark.kind === "point" && mark.object);
    const unit = this.unit;
    marks.forEach((mark, index) => {
      this.groups[index].replaceChildren(...shapesOf(mark, index === selected, tagged, unit));
      this.groups[index].setAttribute("aria-label", describe(mark, index, marks.length));
      this.groups[index].setAttribute("aria-pressed", String(mark.positive));
    });
  }

  /** Put the keyboard's focus where the selection is. */
  focus() {
    (this.groups[this.marks.selected] ?? this.element).focus({ preventScroll: true });
  }

  /** @param {FocusEvent} event */
  onFocus(event) {
    const index = this.groups.indexOf(/** @type {SVGElement} */ (event.target));
    if (index >= 0) this.marks.select(index);
  }

  /** @param {{clientX: number, clientY: number}} event */
  placeOf(event) {
    const picture = /** @type {Picture} */ (this.picture);
    const area = this.element.getBoundingClientRect();
    const place = toPicture({ x: event.clientX, y: event.clientY }, area, picture);
    return { place, found: hit(this.marks.list, this.marks.selected, place, scaleOf(picture, area)) };
  }

  /** @param {PointerEvent} event */
  onDown(event) {
    if (!this.picture || event.button !== 0) return;
    event.stopPropagation();
    const { place, found } = this.placeOf(event);
    this.element.setPointerCapture(event.pointerId);
    this.marks.select(found ? found.index : -1);
    this.drag = {
      gesture: `drag ${++gestures}`,
      from: place,
      client: { x: event.clientX, y: event.clientY },
      index: found?.index ?? this.marks.list.length,
      corner: found?.corner ?? -1,
      mark: found ? this.marks.list[found.index] : null,
      began: false,
    };
  }

  /** @param {PointerEvent} event */
  onMove(event) {
    const { drag, picture } = this;
    if (!picture) return;
    if (!drag) {
      this.element.classList.toggle("over-mark", this.placeOf(event).found !== null);
      return;
    }
    event.stopPropagation();
    drag.began ||= Math.hypot(event.clientX - drag.client.x, event.clientY - drag.client.y) >= CLICK;
    if (!drag.began) return;
    const { place } = this.placeOf(event);
    if (!drag.mark) {
      const box = { kind: /** @type {const} */ ("box"), ...boxBetween(drag.from, place, picture), positive: this.positive(event) };
      if (this.marks.list.length > drag.index) this.marks.edit(drag.index, box, drag.gesture);
      else this.marks.add(box, drag.gesture);
    } else if (drag.mark.kind === "box" && drag.corner >= 0) {
      const fixed = corners(drag.mark)[(drag.corner + 2) % 4];
      this.marks.edit(drag.index, boxBetween(fixed, place, picture), drag.gesture);
    } else {
      this.marks.edit(drag.index, moved(drag.mark, place.x - drag.from.x, place.y - drag.from.y, picture), drag.gesture);
    }
  }

  /** @param {PointerEvent} event */
  onUp(event) {
    const { drag, picture } = this;
    if (!drag || !picture) return;
    event.stopPropagation();
    this.drag = null;
    if (!drag.mark && !drag.began) {
      const place = inside(drag.from, picture);
      const within = Math.abs(drag.from.x - place.x) <= 1 && Math.abs(drag.from.y - place.y) <= 1;
      if (within) this.marks.add({ kind: "point", ...place, positive: this.positive(event), object: this.tool.object });
    }
    this.marks.select(this.marks.selected); // the gesture is over
    this.focus();
  }

  cancelDrag() {
    if (this.drag) this.marks.cancel(this.drag.gesture);
    this.drag = null;
  }

  /** Shift turns the tool round. @param {PointerEvent} event */
  positive(event) {
    return this.tool.positive !== event.shiftKey;
  }

  /** @param {PointerEvent} event */
  onMenu(event) {
    event.preventDefault();
    event.stopPropagation();
    const found = this.picture && this.placeOf(event).found;
    if (found) this.removeMark(found.index);
  }

  /** @param {number} index */
  removeMark(index) {
    this.marks.remove(index);
    this.focus();
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    if (!this.picture || !this.pressed(event)) return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** Do what a key means; false if it means nothing here. @param {KeyboardEvent} event @returns {boolean} */
  pressed(event) {
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const control = event.ctrlKey || event.metaKey;
    if (control && (key === "z" || key === "y")) {
      if (key === "y" || event.shiftKey) this.marks.redo();
      else this.marks.undo();
      this.focus();
      return true;
    }
    if (key === "Escape") return this.escape();
    const index = this.groups.indexOf(/** @type {SVGElement} */ (event.target));
    const mark = this.marks.list[index];
    if (!mark) return key === "Enter" && this.addMiddle();
    if (key in ARROWS) this.shift(index, mark, ARROWS[/** @type {keyof typeof ARROWS} */ (key)], event);
    else if (key === "Delete" || key === "Backspace") this.removeMark(index);
    else if (key === "Enter" || key === " ") this.marks.edit(index, { positive: !mark.positive });
    else return false;
    return true;
  }

  escape() {
    if (!this.drag && this.marks.selected < 0) return false;
    if (this.drag) this.cancelDrag();
    else this.marks.select(-1);
    this.focus();
    return true;
  }

  addMiddle() {
    const { width, height } = /** @type {Picture} */ (this.picture);
    const place = inside({ x: width / 2, y: height / 2 }, { width, height });
    this.marks.add({ kind: "point", ...place, positive: this.tool.positive, object: this.tool.object });
    this.focus();
    return true;
  }

  /** @param {number} index @param {Mark} mark @param {number[]} step @param {KeyboardEvent} event */
  shift(index, mark, [dx, dy], event) {
    const picture = /** @type {Picture} */ (this.picture);
    const far = event.shiftKey ? 10 : 1;
    if (!(event.ctrlKey && mark.kind === "box")) this.marks.edit(index, moved(mark, dx * far, dy * far, picture), `arrows ${index}`);
    else {
      const end = { x: Math.max(mark.x + 1, mark.x + mark.width + dx * far), y: Math.max(mark.y + 1, mark.y + mark.height + dy * far) };
      this.marks.edit(index, boxBetween(mark, end, picture), `size ${index}`);
    }
  }
}
