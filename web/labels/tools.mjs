/** What the pointer and the keyboard's own cursor do on the picture: brush, eraser, polygon, fill, pick, and moving about. */
import { clamp, flood, polygon, snapped, stroke } from "./raster.mjs";
import { svg } from "../points/drawing.mjs";
import { t } from "../words/text.mjs";

/**
 * @typedef {import("./raster.mjs").Place} Place
 * @typedef {"brush" | "eraser" | "polygon" | "fill"} Tool
 * @typedef {{tool: Tool, label: number, size: number, backgroundOnly: boolean}} Choice
 * @typedef {{label: number, size: number, backgroundOnly: boolean}} Paint what a stroke is drawn with to its end, whatever keys choose meanwhile
 * @typedef {object} Listener
 * @property {(label: number) => void} pick a class under the pointer is wanted
 * @property {(place: Place | null) => void} hover
 * @property {(text: string) => void} say
 * @property {() => boolean} mayDraw whether the picture may be drawn on now
 * @property {() => void} chosen another size is chosen
 * @property {() => void} cornered the polygon has more corners or fewer
 */

export const LARGEST = 500;
const FASTEST = 0.4; // how much one turn of the wheel zooms at most, as a logarithm
const CLOSES = 10; // pixels of the screen around the first corner, where a click closes the polygon
const MOVES = 6; // and around any corner, where it is dragged

/** The brush at a place of its slider, 0 to 100: as fine for small ones as for large ones. @param {number} place */
export const sizeAt = (place) => Math.round(LARGEST ** (place / 100));

/** @param {string} name @param {Record<string, string | number>} [attributes] */
const ringed = (name, attributes) => [
  svg(name, { ...attributes, fill: "none", stroke: "#000", "stroke-width": 3 }),
  svg(name, { ...attributes, fill: "none", stroke: "#fff", "stroke-width": 1.5 }),
];

export class Tools {
  /**
   * @param {import("./view.mjs").View} view @param {Choice} choice what is chosen; others change it
   * @param {Listener} to
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
    /** What the pointer is doing until it is let go. @type {{kind: "draw", paint: Paint} | {kind: "pan", x: number, y: number} | {kind: "corner", corner: Place} | null} */
    this.gesture = null;
    this.space = false;
    const { element } = view;
    element.addEventListener("pointerdown", (event) => this.onDown(event));
    element.addEventListener("pointermove", (event) => this.onMove(event));
    element.addEventListener("pointerup", () => this.end());
    element.addEventListener("pointercancel", () => this.end());
    element.addEventListener("pointerleave", () => this.onLeave());
    element.addEventListener("dblclick", () => this.onDoubleClick());
    element.addEventListener("blur", () => this.release());
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

  /** Whether something is being drawn that is in no step of the history yet. */
  get busy() {
    return this.gesture?.kind === "draw" || this.corners.length > 2;
  }

  /** The pointer is let go, or whatever comes next does not wait for that. */
  end() {
    if (this.mask?.step) this.mask.commit();
    this.gesture = null;
    this.draw();
  }

  /** The keyboard goes elsewhere, and will not tell when Space is let go. */
  release() {
    this.space = false;
    this.draw();
  }

  /** Finish what is being drawn, before the picture is saved or left: a stroke ends here, a polygon that has an inside is filled. */
  settle() {
    this.end();
    this.close();
  }

  /** @param {WheelEvent} event */
  onWheel(event) {
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 33 : 1;
    if (event.altKey) this.resize(event.deltaY < 0 ? 1 : -1);
    else this.view.zoom(Math.exp(clamp((-event.deltaY * lines * (event.ctrlKey ? 5 : 1)) / 500, -FASTEST, FASTEST)), event); // Ctrl: two fingers on a touchpad
  }

  /** @param {PointerEvent} event */
  onDown(event) {
    if (!this.mask || this.gesture) return;
    event.preventDefault();
    this.view.element.focus({ preventScroll: true });
    this.view.element.setPointerCapture(event.pointerId);
    this.keyboard = false;
    const place = (this.place = this.view.placeOf(event));
    if (event.button === 1 || this.space) this.gesture = { kind: "pan", x: event.clientX, y: event.clientY };
    else if (event.button === 0 && event.altKey) this.pick();
    else if (event.button !== 1 && this.to.mayDraw()) this.begin(place, event.button === 2, event.shiftKey);
    this.draw();
  }

  /** Draw where the pointer went down. @param {Place} place @param {boolean} right with the right button @param {boolean} joined with Shift */
  begin(place, right, joined) {
    const { mask } = this;
    const { tool } = this.choice;
    if (!mask) return;
    if (tool === "polygon") {
      if (right) this.removeCorner();
      else this.pressCorner(place);
    } else if (tool === "fill") {
      if (!right) this.fill();
    } else {
      this.gesture = { kind: "draw", paint: this.paint(right) };
      mask.begin();
      this.strokeTo(place, joined, this.gesture.paint);
    }
  }

  /** @param {PointerEvent} event */
  onMove(event) {
    const { gesture } = this;
    this.keyboard = false;
    if (gesture?.kind === "pan") {
      this.view.pan(event.clientX - gesture.x, event.clientY - gesture.y);
      [gesture.x, gesture.y] = [event.clientX, event.clientY];
    } else if (gesture?.kind === "corner") Object.assign(gesture.corner, this.cornerAt(this.view.placeOf(event)));
    else if (gesture) {
      const between = event.getCoalescedEvents?.() ?? [];
      for (const one of between.length ? between : [event]) this.strokeTo(this.view.placeOf(one), true, gesture.paint);
    }
    this.place = this.view.placeOf(event);
    this.to.hover(this.place);
    this.draw();
  }

  onDoubleClick() {
    if (this.choice.tool !== "polygon" || this.close()) return;
    if (this.corners.length === 1) this.removeCorner(); // its first click closed a polygon, its second one began another
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
    this.to.cornered();
    this.draw();
    return busy;
  }

  /** @param {boolean} [erase] whatever is chosen @returns {Paint} */
  paint(erase = false) {
    const { tool, size, label, backgroundOnly } = this.choice;
    const background = erase || tool === "eraser" || label === 0;
    return { size, label: background ? 0 : label, backgroundOnly: backgroundOnly && !background };
  }

  /** @param {Paint} paint @returns {import("./raster.mjs").Row} */
  painter({ label, backgroundOnly }) {
    const mask = /** @type {import("./mask.mjs").Mask} */ (this.mask);
    return (y, from, to) => mask.row(y, from, to, label, backgroundOnly);
  }

  /** @param {Place} place @param {boolean} joined draw a line from where the last one ended @param {Paint} paint */
  strokeTo(place, joined, paint) {
    if (!this.mask) return;
    const { size } = paint;
    const end = snapped(place, size);
    const begin = (joined && this.last && snapped(this.last, size)) || end;
    this.last = place;
    stroke(begin, end, size, this.mask, this.painter(paint));
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
      this.to.say(t("There is another class here, and only the background is painted over (O)."));
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

  /** @param {Place} place */
  pressCorner(place) {
    const far = (/** @type {Place} */ one) => Math.hypot(one.x - place.x, one.y - place.y) * this.view.scale;
    if (this.corners.length > 2 && far(this.corners[0]) <= CLOSES) this.close();
    else this.gesture = { kind: "corner", corner: this.corners.find((one) => far(one) <= MOVES) ?? this.addCorner(place) };
  }

  /** @param {Place} place */
  addCorner(place) {
    const corner = this.cornerAt(place);
    this.corners.push(corner);
    this.to.cornered();
    return corner;
  }

  /** Take the last corner away. @returns {boolean} whether there was one */
  removeCorner() {
    this.end();
    const there = this.corners.pop() !== undefined;
    this.to.cornered();
    this.draw();
    return there;
  }

  /** Fill the polygon. @returns {boolean} whether there was one */
  close() {
    this.end();
    const { mask, corners } = this;
    if (!mask || corners.length < 3) return false;
    this.corners = [];
    mask.begin();
    polygon(corners, mask, this.painter(this.paint()));
    if (!mask.commit()) this.to.say(t("The polygon changes no pixel."));
    this.draw();
    return true;
  }

  /** @param {number} direction 1 or −1: brushes grow by about an eighth */
  resize(direction) {
    const { size } = this.choice;
    this.choice.size = clamp(size + direction * Math.max(1, Math.round(size / 8)), 1, LARGEST);
    this.to.chosen();
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
    if (!mask || !place || !this.to.mayDraw()) return;
    this.end();
    if (this.choice.tool === "polygon") this.addCorner({ x: Math.floor(place.x), y: Math.floor(place.y) });
    else if (this.choice.tool === "fill") this.fill();
    else {
      mask.begin();
      this.strokeTo(place, joined, this.paint());
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
      shapes.push(svg("polygon", { points, fill: view.colorOf(choice.label), "fill-opacity": 0.3, "fill-rule": "evenodd" }), ...ringed("polygon", { points }));
      shown.forEach(({ x, y }, index) => shapes.push(svg("circle", { cx: x, cy: y, r: index ? 4 : 6, fill: "#fff", stroke: "#000", "stroke-width": 1.5 })));
    }
    const may = this.to.mayDraw();
    const paints = may && (choice.tool === "brush" || choice.tool === "eraser");
    if (place && this.mask) {
      const middle = view.onScreen(paints ? snapped(place, choice.size) : place);
      if (paints && this.gesture?.kind !== "pan") shapes.push(...ringed("circle", { cx: middle.x, cy: middle.y, r: Math.max(1.5, (choice.size / 2) * view.scale) }));
      if (this.keyboard) shapes.push(...ringed("path", { d: `M${middle.x - 14} ${middle.y}H${middle.x - 4}M${middle.x + 4} ${middle.y}H${middle.x + 14}M${middle.x} ${middle.y - 14}V${middle.y - 4}M${middle.x} ${middle.y + 4}V${middle.y + 14}` }));
    }
    view.marks.replaceChildren(...shapes);
    view.element.dataset.cursor = this.gesture?.kind === "pan" || this.space ? "pan" : !may ? "locked" : paints && place && !this.keyboard ? "brush" : "cross";
  }
}
