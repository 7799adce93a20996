/** The picture with its mask over it: zoomed and moved by the page, so that drawing costs no more than the tiles it changes. */
import { IGNORE } from "./mask.mjs";
import { clamp } from "./raster.mjs";
import { svg } from "../points/drawing.mjs";

/** @typedef {import("./raster.mjs").Place} Place */

const CLOSEST = 64; // pixels of the screen for one of the picture
const SHARP = 1.5; // from here on pixels are shown as squares
const MARGIN = 16;
const ROWS = 256;
const STRIPES = [0xff2e2e2e, 0xffc8c8c8]; // ignored pixels: no class has stripes

/** A class's colour as a canvas keeps it: alpha, blue, green, red. @param {string} color #rrggbb */
function packedColor(color) {
  const value = Number.parseInt(color.slice(1), 16);
  return (0xff000000 | ((value & 255) << 16) | (value & 0xff00) | (value >> 16)) >>> 0;
}

/** @param {string} name */
function canvas(name) {
  const element = document.createElement("canvas");
  element.className = name;
  return element;
}

/** @param {HTMLCanvasElement} element */
const contextOf = (element) => /** @type {CanvasRenderingContext2D} */ (element.getContext("2d"));

export class View {
  /** @param {() => void} onMove told when the picture lies elsewhere */
  constructor(onMove) {
    this.onMove = onMove;
    /** @type {import("./mask.mjs").Mask | null} */
    this.mask = null;
    this.colors = new Uint32Array(256);
    this.scale = 1;
    this.x = 0;
    this.y = 0;
    this.fitted = true;
    this.picture = canvas("visionsmith-label-picture");
    this.overlay = canvas("visionsmith-label-overlay");
    this.layers = document.createElement("div");
    this.layers.className = "visionsmith-label-layers";
    this.layers.append(this.picture, this.overlay);
    this.marks = svg("svg", { class: "visionsmith-label-marks", "aria-hidden": "true" });
    this.element = document.createElement("div");
    this.element.className = "visionsmith-label-board";
    this.element.append(this.layers, this.marks);
    this.paintSoon = this.paintSoon.bind(this);
    this.waiting = false;
    /** Where the board is on the screen, for the length of a frame: asking for it makes the page lay itself out. @type {DOMRect | null} */
    this.area = null;
    this.resized = new ResizeObserver(() => (this.fitted ? this.fit() : this.draw()));
    this.resized.observe(this.element);
  }

  destroy() {
    this.resized.disconnect();
    this.clear();
  }

  clear() {
    this.mask?.views.delete(this.paintSoon);
    this.mask = null;
    this.layers.hidden = true;
  }

  /** @param {ImageBitmap} picture @param {import("./mask.mjs").Mask} mask */
  show(picture, mask) {
    this.clear();
    const alike = this.picture.width === mask.width && this.picture.height === mask.height;
    for (const element of [this.picture, this.overlay]) {
      [element.width, element.height] = [mask.width, mask.height];
      [element.style.width, element.style.height] = [`${mask.width}px`, `${mask.height}px`];
    }
    contextOf(this.picture).drawImage(picture, 0, 0);
    picture.close(); // the canvas has it now
    this.mask = mask;
    mask.views.add(this.paintSoon);
    this.layers.hidden = false;
    this.paintAll();
    if (!alike || this.fitted) this.fit();
    else this.draw();
  }

  /** @param {import("./server.mjs").Class[]} classes */
  setColors(classes) {
    this.colors.fill(packedColor("#ff00ff"));
    classes.forEach(({ color }, number) => (this.colors[number] = packedColor(color)));
    this.colors[0] = 0;
    this.paintAll();
  }

  /** @param {boolean} shown @param {number} opacity 0 … 1 */
  setOverlay(shown, opacity) {
    this.overlay.style.opacity = String(opacity);
    this.overlay.hidden = !shown;
  }

  /** How light the picture is shown, and with how much contrast; 1 is as it is. @param {number} brightness @param {number} contrast */
  setLight(brightness, contrast) {
    const filter = brightness === 1 && contrast === 1 ? "" : `brightness(${brightness}) contrast(${contrast})`;
    if (this.picture.style.filter !== filter) this.picture.style.filter = filter;
  }

  /** A class's colour as a page has it; none for the background and for pixels that do not count. @param {number} label */
  colorOf(label) {
    const color = label === IGNORE ? 0 : this.colors[label];
    return color ? `rgb(${color & 255} ${(color >> 8) & 255} ${(color >> 16) & 255})` : "none";
  }

  paintAll() {
    if (!this.mask) return;
    const { width, height, changed } = this.mask;
    changed.clear();
    for (let y = 0; y < height; y += ROWS) this.paint({ x: 0, y, width, height: Math.min(ROWS, height - y) });
  }

  /** Paint what changed, once for each frame. */
  paintSoon() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      if (!this.mask) return;
      for (const tile of this.mask.changed) this.paint(this.mask.place(tile));
      this.mask.changed.clear();
    });
  }

  /** @param {{x: number, y: number, width: number, height: number}} place */
  paint({ x, y, width, height }) {
    const mask = /** @type {import("./mask.mjs").Mask} */ (this.mask);
    const pixels = new ImageData(width, height);
    const values = new Uint32Array(pixels.data.buffer);
    for (let j = 0, i = 0; j < height; j++) {
      const line = (y + j) * mask.width + x;
      for (let k = 0; k < width; k++, i++) {
        const label = mask.labels[line + k];
        values[i] = label === IGNORE ? STRIPES[((x + k + y + j) >> 2) & 1] : this.colors[label];
      }
    }
    contextOf(this.overlay).putImageData(pixels, x, y);
  }

  /** All of the picture, as large as it can be. */
  fit() {
    if (!this.mask) return;
    const { clientWidth, clientHeight } = this.element;
    this.scale = Math.min(CLOSEST, Math.max(1, clientWidth - 2 * MARGIN) / this.mask.width, Math.max(1, clientHeight - 2 * MARGIN) / this.mask.height);
    this.x = (clientWidth - this.mask.width * this.scale) / 2;
    this.y = (clientHeight - this.mask.height * this.scale) / 2;
    this.fitted = true;
    this.draw();
  }

  /** Zoom so that what is under a place of the screen stays there. @param {number} factor @param {{clientX: number, clientY: number}} [at] the middle if not given */
  zoom(factor, at) {
    if (!this.mask) return;
    const area = this.areaOnScreen();
    const [sx, sy] = at ? [at.clientX - area.left, at.clientY - area.top] : [area.width / 2, area.height / 2];
    const smallest = Math.min(1, 64 / Math.max(this.mask.width, this.mask.height));
    const scale = clamp(this.scale * factor, smallest, CLOSEST);
    this.x = sx - ((sx - this.x) * scale) / this.scale;
    this.y = sy - ((sy - this.y) * scale) / this.scale;
    this.scale = scale;
    this.fitted = false;
    this.draw();
  }

  /** @param {number} dx @param {number} dy pixels of the screen */
  pan(dx, dy) {
    this.x += dx;
    this.y += dy;
    this.fitted = false;
    this.draw();
  }

  /** Move the picture so far that a place of it is in view. @param {Place} place */
  reveal(place) {
    const { x, y } = this.onScreen(place);
    const { clientWidth, clientHeight } = this.element;
    const dx = clamp(x, MARGIN, clientWidth - MARGIN) - x;
    const dy = clamp(y, MARGIN, clientHeight - MARGIN) - y;
    if (dx || dy) this.pan(dx, dy);
  }

  draw() {
    if (!this.mask) return;
    // some of the picture always stays in view
    const { clientWidth, clientHeight } = this.element;
    this.x = clamp(this.x, MARGIN - this.mask.width * this.scale, clientWidth - MARGIN);
    this.y = clamp(this.y, MARGIN - this.mask.height * this.scale, clientHeight - MARGIN);
    this.layers.style.transform = `translate(${this.x}px, ${this.y}px) scale(${this.scale})`;
    this.layers.classList.toggle("sharp", this.scale >= SHARP);
    this.onMove();
  }

  areaOnScreen() {
    if (!this.area) {
      this.area = this.element.getBoundingClientRect();
      requestAnimationFrame(() => (this.area = null));
    }
    return this.area;
  }

  /** The place in the picture under the pointer. @param {{clientX: number, clientY: number}} event @returns {Place} */
  placeOf({ clientX, clientY }) {
    const area = this.areaOnScreen();
    return { x: (clientX - area.left - this.x) / this.scale, y: (clientY - area.top - this.y) / this.scale };
  }

  /** Where a place of the picture is on the board. @param {Place} place @returns {Place} */
  onScreen({ x, y }) {
    return { x: this.x + x * this.scale, y: this.y + y * this.scale };
  }

  /** Whether a place is in the picture. @param {Place} place */
  holds({ x, y }) {
    return this.mask !== null && x >= 0 && y >= 0 && x < this.mask.width && y < this.mask.height;
  }
}
