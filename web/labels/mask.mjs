/**
 * A mask while it is drawn: class numbers, and a history that keeps only the tiles that a step changed. Nothing in here knows the page.
 *
 * @typedef {Map<number, Uint8Array | number>} Patch tile → what was in it; a number where all of it was one class
 */

export const TILE = 64;
export const IGNORE = 255;
const FEWEST_STEPS = 50;
const MOST_STEPS = 500;
const MOST_BYTES = 2 ** 28;

/** @param {Uint8Array} tile */
const packed = (tile) => (tile.every((value) => value === tile[0]) ? tile[0] : tile);

/** @param {Patch} patch */
const bytesOf = (patch) => [...patch.values()].reduce((/** @type {number} */ sum, tile) => sum + (typeof tile === "number" ? 8 : tile.length), 0);

export class Mask {
  /** @param {number} width @param {number} height @param {Uint8Array} [labels] row by row */
  constructor(width, height, labels = new Uint8Array(width * height)) {
    if (labels.length !== width * height) throw new Error(`A mask of ${width} × ${height} pixels cannot have ${labels.length} labels.`);
    this.width = width;
    this.height = height;
    this.labels = labels;
    this.across = Math.ceil(width / TILE);
    this.down = Math.ceil(height / TILE);
    /** Tiles that changed since someone looked. @type {Set<number>} */
    this.changed = new Set();
    /** @type {{patch: Patch, state: number}[]} */
    this.past = [];
    /** @type {{patch: Patch, state: number}[]} */
    this.future = [];
    /** What the tiles of the step that is being drawn were. @type {Map<number, Uint8Array> | null} */
    this.step = null;
    /** Every state that drawing leads to has a number of its own; which of them is saved? */
    this.state = 0;
    this.saved = 0;
    this.states = 0;
    /** @type {Set<() => void>} */
    this.views = new Set();
  }

  /** Whether something is not saved. */
  get dirty() {
    return this.state !== this.saved;
  }

  /** Where a tile lies. @param {number} tile */
  place(tile) {
    const [x, y] = [(tile % this.across) * TILE, Math.floor(tile / this.across) * TILE];
    return { x, y, width: Math.min(TILE, this.width - x), height: Math.min(TILE, this.height - y) };
  }

  /** @param {number} tile */
  read(tile) {
    const { x, y, width, height } = this.place(tile);
    const copy = new Uint8Array(width * height);
    for (let i = 0; i < height; i++) {
      const from = (y + i) * this.width + x;
      copy.set(this.labels.subarray(from, from + width), i * width);
    }
    return copy;
  }

  /** @param {number} tile @param {Uint8Array | number} values */
  write(tile, values) {
    const { x, y, width, height } = this.place(tile);
    for (let i = 0; i < height; i++) {
      const from = (y + i) * this.width + x;
      if (typeof values === "number") this.labels.fill(values, from, from + width);
      else this.labels.set(values.subarray(i * width, (i + 1) * width), from);
    }
    this.changed.add(tile);
  }

  /** The class of a pixel. @param {number} x @param {number} y */
  at(x, y) {
    return this.labels[y * this.width + x];
  }

  /** Begin a step of the history: a stroke, a polygon. */
  begin() {
    this.commit();
    this.step = new Map();
  }

  /**
   * Give pixels of a row a class.
   * @param {number} y @param {number} from @param {number} to the first that is not meant @param {number} label
   * @param {boolean} [backgroundOnly] leave pixels alone that have another class
   */
  row(y, from, to, label, backgroundOnly = false) {
    const step = this.step;
    if (!step) throw new Error("A row was drawn outside of a step.");
    const line = Math.floor(y / TILE) * this.across;
    for (let tile = line + Math.floor(from / TILE); tile <= line + Math.floor((to - 1) / TILE); tile++) {
      if (!step.has(tile)) step.set(tile, this.read(tile));
      this.changed.add(tile);
    }
    const start = y * this.width;
    if (!backgroundOnly) this.labels.fill(label, start + from, start + to);
    else for (let i = start + from; i < start + to; i++) if (this.labels[i] === 0) this.labels[i] = label;
  }

  /** Tell those who show the mask. */
  tell() {
    for (const view of this.views) view();
  }

  /** End a step. @returns {boolean} whether it changed anything; otherwise it is none */
  commit() {
    const { step } = this;
    this.step = null;
    if (!step) return false;
    /** @type {Patch} */
    const patch = new Map();
    for (const [tile, before] of step) {
      const now = this.read(tile);
      if (before.some((value, i) => value !== now[i])) patch.set(tile, packed(before));
    }
    if (patch.size) {
      this.past.push({ patch, state: this.state });
      this.state = ++this.states;
      this.future = [];
      this.forget();
    }
    this.tell();
    return patch.size > 0;
  }

  /** Take the step back that is being drawn. */
  cancel() {
    const { step } = this;
    this.step = null;
    for (const [tile, before] of step ?? []) this.write(tile, before);
    this.tell();
  }

  /** Let go of the oldest steps when there are too many, or when they are too large; fifty are always kept. */
  forget() {
    let bytes = this.past.reduce((sum, { patch }) => sum + bytesOf(patch), 0);
    while (this.past.length > MOST_STEPS || (this.past.length > FEWEST_STEPS && bytes > MOST_BYTES)) {
      bytes -= bytesOf(/** @type {{patch: Patch}} */ (this.past.shift()).patch);
    }
  }

  undo() {
    this.swap(this.past, this.future);
  }

  redo() {
    this.swap(this.future, this.past);
  }

  /** @param {{patch: Patch, state: number}[]} from @param {{patch: Patch, state: number}[]} to */
  swap(from, to) {
    if (this.step) this.cancel();
    const step = from.pop();
    if (!step) return;
    /** @type {Patch} */
    const back = new Map();
    for (const [tile, values] of step.patch) {
      back.set(tile, packed(this.read(tile)));
      this.write(tile, values);
    }
    to.push({ patch: back, state: this.state });
    this.state = step.state;
    this.tell();
  }
}
