/** What the pointer and the keyboard's own cursor do on the picture: brush, eraser, polygon, fill, pick, and moving about. */
import { clamp, flood, polygon, snapped, stroke } from "./raster.mjs";
import { svg } from "../points/drawing.mjs";

/**
 * @typedef {import("./raster.mjs").Place} Place
 * @typedef {"brush" | "eraser" | "polygon" | "fill"} Tool
 * @typedef {{tool: Tool, label: number, size: number, backgroundOnly: boolean}} Choice
 */

export const LARGEST = 500;
const NEAR = 10; // pixels of the screen around a corner

/** @param {string} name @param {Record<string, string | number>} [attributes] */
const ringed = (name, attributes) => [
  svg(name, { ...attributes, fill: "none", stroke: "#000", "stroke-width": 3 }),
  svg(name, { ...attributes, fill: "none", stroke: "#fff", "stroke-width": 1.5 }),
];

export class Tools {
  /**
   * @param {import("./view.mjs").View} view @param {Choice} choice what is chosen; others change it
   * @param {{pick: (label: number) => void, hover: (place: Place | null) => void, say: (text: string) => void}} to
   */
  constructor(view, choice, to) {
    this.view = view;
    this.choice = choice;
    this.to = to;
    /** Corners of the polygon that is being drawn. @type {Place[]} */
    this.corners = [];
    /** Where the pointer, or the keyboard's cursor, is. @type {Place | null} */
    this.place = null;
    /** Where the last stroke ended. @type {Place | null} */
    this.last = null;
    this.keyboard = false;
    /** What the pointer is doing. @type {{kind: "draw" | "erase" | "pan" | "corner", x: number, y: number, corner: number} | null} */
    this.gesture = null;
    this.space = false;
    const { element } = view;
    element.addEventListener("pointerdown", (event) => this.onDown(event));
    element.addEventListener("pointermove", (event) => this.onMove(event));
    element.addEventListener("pointerup", () => this.onUp());
    element.addEventListener("pointercancel", () => this.cancel());
    element.addEventListener("pointerleave", () => this.onLeave());
    element.addEventListener("dblclick", () => this.choice.tool === "polygon" && this.close());
    element.addEventListener("contextmenu", (event) => event.preventDefault());
    element.addEventListener("wheel", (event) => this.onWheel(event), { passive: false });
  }

  get mask() {
    return this.view.mask;
  }

  /** Another picture: nothing is begun. */
  reset() {
    [this.corners, this.last, this.gesture] = [[], null, null];
    this.draw();
  }

  /** @param {WheelEvent} event */
  onWheel(event) {
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 33 : 1;
    if (event.altKey) this.resize(event.deltaY < 0 ? 1 : -1);
    else this.view.zoom(Math.exp((-event.deltaY * lines) / 500), event);
  }

  /** @param {PointerEvent} event */
  onDown(event) {
    if (!this.mask || this.gesture) return;
    event.preventDefault();
    this.view.element.focus({ preventScroll: true });
    this.view.element.setPointerCapture(event.pointerId);
    this.keyboard = false;
    const place = (this.place = this.view.placeOf(event));
    const at = { x: event.clientX, y: event.clientY, corner: -1 };
    if (event.button === 1 || this.space) this.gesture = { kind: "pan", ...at };
    else if (event.button === 0 && event.altKey) this.pick();
    else if (event.button === 0 && this.choice.tool === "polygon") this.pressCorner(place, at);
    else if (event.button === 0 && this.choice.tool === "fill") this.fill();
    else if (event.button === 0 || event.button === 2) {
      this.gesture = { kind: event.button === 2 || this.choice.tool === "eraser" ? "erase" : "draw", ...at };
      this.mask.begin();
      this.strokeTo(place, event.shiftKey);
    }
    this.draw();
  }

  /** @param {PointerEvent} event */
  onMove(event) {
    const { gesture } = this;
    this.keyboard = false;
    if (gesture?.kind === "pan") {
      this.view.pan(event.clientX - gesture.x, event.clientY - gesture.y);
      [gesture.x, gesture.y] = [event.clientX, event.clientY];
    } else if (gesture?.kind === "corner") this.corners[gesture.corner] = this.cornerAt(this.view.placeOf(event));
    else if (gesture) {
      const between = event.getCoalescedEvents?.() ?? [];
      for (const one of between.length ? between : [event]) this.strokeTo(this.view.placeOf(one), true);
    }
    this.place = this.view.placeOf(event);
    this.to.hover(this.place);
    this.draw();
  }

  onUp() {
    if (this.gesture?.kind === "draw" || this.gesture?.kind === "erase") this.mask?.commit();
    this.gesture = null;
    this.draw();
  }

  onLeave() {
    if (this.gesture || this.keyboard) return;
    this.place = null;
    this.to.hover(null);
    this.draw();
  }

  /** Take back what is being drawn. @returns {boolean} whether there was anything */
  cancel() {
    const busy = this.gesture !== null || this.corners.length > 0;
    if (this.mask?.step) this.mask.cancel();
    [this.corners, this.gesture] = [[], null];
    this.draw();
    return busy;
  }

  /** @param {number} label @returns {import("./raster.mjs").Row} */
  painter(label) {
    const mask = /** @type {import("./mask.mjs").Mask} */ (this.mask);
    const backgroundOnly = this.choice.backgroundOnly && label !== 0;
    return (y, from, to) => mask.row(y, from, to, label, backgroundOnly);
  }

  /** @param {Place} place @param {boolean} joined draw a line from where the last one ended */
  strokeTo(place, joined) {
    if (!this.mask) return;
    const { size, label, tool } = this.choice;
    const end = snapped(place, size);
    const begin = (joined && this.last && snapped(this.last, size)) || end;
    this.last = place;
    stroke(begin, end, size, this.mask, this.painter(this.gesture?.kind === "erase" || tool === "eraser" ? 0 : label));
    this.mask.tell();
  }

  pick() {
    const { mask, place } = this;
    if (mask && place && this.view.holds(place)) this.to.pick(mask.at(Math.floor(place.x), Math.floor(place.y)));
  }

  fill() {
    const { mask, place } = this;
    const { label, backgroundOnly } = this.choice;
    if (!mask || !place || !this.view.holds(place)) return;
    const [x, y] = [Math.floor(place.x), Math.floor(place.y)];
    const there = mask.at(x, y);
    if (there === label) return;
    if (backgroundOnly && there !== 0 && label !== 0) {
      this.to.say("There is another class here, and only the background is painted over (O).");
      return;
    }
    mask.begin();
    flood(mask.labels, mask, x, y, (line, from, to) => mask.row(line, from, to, label));
    mask.commit();
  }

  /** The corner of pixels nearest to a place, in the picture. @param {Place} place @returns {Place} */
  cornerAt({ x, y }) {
    const { width, height } = /** @type {import("./mask.mjs").Mask} */ (this.mask);
    return { x: clamp(Math.round(x), 0, width), y: clamp(Math.round(y), 0, height) };
  }

  /** @param {Place} place @param {{x: number, y: number, corner: number}} at */
  pressCorner(place, at) {
    const near = this.corners.findIndex((one) => Math.hypot(one.x - place.x, one.y - place.y) * this.view.scale <= NEAR);
    if (near === 0 && this.corners.length > 2) {
      this.close();
      return;
    }
    if (near < 0) this.corners.push(this.cornerAt(place));
    this.gesture = { kind: "corner", ...at, corner: near < 0 ? this.corners.length - 1 : near };
  }

  /** Take the last corner away. @returns {boolean} whether there was one */
  removeCorner() {
    const there = this.corners.pop() !== undefined;
    this.draw();
    return there;
  }

  /** Fill the polygon. @returns {boolean} whether there was one */
  close() {
    const { mask, corners } = this;
    if (!mask || corners.length < 3) return false;
    this.corners = [];
    this.gesture = null;
    mask.begin();
    polygon(corners, mask, this.painter(this.choice.label));
    if (!mask.commit()) this.to.say("The polygon changes no pixel.");
    this.draw();
    return true;
  }

  /** @param {number} direction 1 or −1: brushes grow by about an eighth */
  resize(direction) {
    const { size } = this.choice;
    this.choice.size = clamp(size + direction * Math.max(1, Math.round(size / 8)), 1, LARGEST);
    this.draw();
  }

  /** Move the keyboard's cursor. @param {number} dx @param {number} dy in pixels of the picture */
  step(dx, dy) {
    const { mask } = this;
    if (!mask) return;
    const middle = { x: mask.width / 2, y: mask.height / 2 };
    const { x, y } = this.place ?? middle;
    const still = this.keyboard || this.place;
    this.place = {
      x: clamp(Math.floor(x) + (still ? dx : 0), 0, mask.width - 1) + 0.5,
      y: clamp(Math.floor(y) + (still ? dy : 0), 0, mask.height - 1) + 0.5,
    };
    this.keyboard = true;
    this.view.reveal(this.place);
    this.to.hover(this.place);
    this.draw();
  }

  /** Do at the keyboard's cursor what a click would. @param {boolean} joined as with Shift */
  press(joined) {
    const { mask, place } = this;
    if (!mask || !place) return;
    if (this.choice.tool === "polygon") this.corners.push(this.cornerAt({ x: Math.floor(place.x), y: Math.floor(place.y) }));
    else if (this.choice.tool === "fill") this.fill();
    else {
      mask.begin();
      this.strokeTo(place, joined);
      mask.commit();
    }
    this.draw();
  }

  /** The brush, the polygon and the keyboard's cursor. */
  draw() {
    const { view, choice, place, corners } = this;
    /** @type {SVGElement[]} */
    const shapes = [];
    if (corners.length) {
      const shown = corners.map((corner) => view.onScreen(corner));
      const moving = this.gesture === null && place && !this.keyboard ? [view.onScreen(this.mask ? this.cornerAt(place) : place)] : [];
      const points = [...shown, ...moving].map(({ x, y }) => `${x},${y}`).join(" ");
      shapes.push(...ringed("polygon", { points }));
      shown.forEach(({ x, y }, index) => shapes.push(svg("circle", { cx: x, cy: y, r: index ? 4 : 6, fill: "#fff", stroke: "#000", "stroke-width": 1.5 })));
    }
    const paints = choice.tool === "brush" || choice.tool === "eraser";
    if (place && this.mask) {
      const middle = view.onScreen(paints ? snapped(place, choice.size) : place);
      if (paints && this.gesture?.kind !== "pan") shapes.push(...ringed("circle", { cx: middle.x, cy: middle.y, r: Math.max(1.5, (choice.size / 2) * view.scale) }));
      if (this.keyboard) shapes.push(...ringed("path", { d: `M${middle.x - 14} ${middle.y}H${middle.x - 4}M${middle.x + 4} ${middle.y}H${middle.x + 14}M${middle.x} ${middle.y - 14}V${middle.y - 4}M${middle.x} ${middle.y + 4}V${middle.y + 14}` }));
    }
    view.marks.replaceChildren(...shapes);
    view.element.dataset.cursor = this.gesture?.kind === "pan" || this.space ? "pan" : paints && place && !this.keyboard ? "brush" : "cross";
  }
}
