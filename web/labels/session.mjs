/** What is open in the label editor: a picture, its mask, whether it is saved, and the pictures around it. */
import { Mask } from "./mask.mjs";

/**
 * @typedef {import("./server.mjs").LabelServer} LabelServer
 * @typedef {import("./server.mjs").Listing} Listing
 * @typedef {{bitmap: ImageBitmap, labels: Uint8Array | null, width: number, height: number, version: string}} Loaded
 */

export class Session {
  /** @param {LabelServer} server @param {Listing} listing @param {() => void} onChange told when anything below changed */
  constructor(server, listing, onChange) {
    this.server = server;
    this.listing = listing;
    this.onChange = onChange;
    this.index = -1;
    /** @type {Mask | null} */
    this.mask = null;
    /** @type {ImageBitmap | null} */
    this.bitmap = null;
    this.version = "";
    this.loading = false;
    /** What went wrong, as a sentence. */
    this.problem = "";
    /** Somebody else saved this mask: only a person may decide to replace it. */
    this.conflict = false;
    /** @type {Promise<boolean> | null} */
    this.saving = null;
    /** The next picture, asked for beforehand. @type {{name: string, loaded: Promise<Loaded | null>} | null} */
    this.ahead = null;
    this.turn = 0;
  }

  get pictures() {
    return this.listing.pictures;
  }

  get picture() {
    return this.pictures[this.index];
  }

  get dirty() {
    return Boolean(this.mask?.dirty);
  }

  /** What is so, in a word for the eye and a sentence for the line below. */
  get state() {
    if (this.loading || this.index < 0) return { kind: "busy", text: "Loading …" };
    if (this.problem) return { kind: "problem", text: this.problem };
    if (this.saving) return { kind: "busy", text: "Saving …" };
    if (this.dirty) return { kind: "changed", text: "Changed" };
    return this.picture?.labelled ? { kind: "saved", text: "Saved" } : { kind: "new", text: "No mask yet" };
  }

  /** @param {string} name @returns {Promise<Loaded>} */
  async load(name) {
    const [bitmap, mask] = await Promise.all([this.server.picture(name), this.server.mask(name)]);
    if (bitmap.width !== mask.width || bitmap.height !== mask.height) throw new Error(`${name} is shown in another size than it has.`);
    return { bitmap, ...mask };
  }

  /**
   * Save what is open if it changed, and open another picture; stays where it is if that cannot be saved.
   * @param {number} index @returns {Promise<boolean>} whether it is open now
   */
  async open(index) {
    if (index < 0 || index >= this.pictures.length || !(await this.save())) return false;
    await this.reload(index);
    return true;
  }

  /** Open a picture as it is on the disk; what is not saved is lost. @param {number} index */
  async reload(index) {
    const turn = ++this.turn;
    const { name } = this.pictures[index];
    Object.assign(this, { index, mask: null, bitmap: null, problem: "", conflict: false, loading: true });
    this.onChange();
    try {
      const known = this.ahead?.name === name ? await this.ahead.loaded : null;
      this.ahead = null;
      const { bitmap, labels, width, height, version } = known ?? (await this.load(name));
      if (turn !== this.turn) return;
      Object.assign(this, { bitmap, version, mask: new Mask(width, height, labels ?? undefined) });
      this.pictures[index].labelled = labels !== null;
      this.mask?.views.add(this.onChange);
    } catch (error) {
      if (turn === this.turn) this.problem = sentence(error);
    }
    if (turn !== this.turn) return;
    this.loading = false;
    this.onChange();
    this.lookAhead();
  }

  /** Load the saved mask again. */
  async revert() {
    while (this.saving) await this.saving;
    await this.reload(this.index);
  }

  lookAhead() {
    const next = this.pictures[this.index + 1];
    if (next) this.ahead = { name: next.name, loaded: this.load(next.name).catch(() => null) };
  }

  /**
   * Save the mask if it changed.
   * @param {boolean} [asked] a person wants it: also an empty mask, and over what somebody else saved
   * @returns {Promise<boolean>} whether everything is saved now
   */
  async save(asked = false) {
    while (this.saving) await this.saving;
    if (!this.mask || (!this.dirty && !(asked && !this.picture.labelled))) return !this.dirty;
    if (this.conflict && !asked) return false;
    this.saving = this.send(this.mask);
    this.onChange();
    const saved = await this.saving;
    this.saving = null;
    this.onChange();
    return saved;
  }

  /** @param {Mask} mask */
  async send(mask) {
    const { picture } = this;
    const { state } = mask;
    try {
      this.version = await this.server.save(picture.name, mask, this.conflict ? null : this.version);
    } catch (error) {
      this.problem = `Not saved: ${sentence(error)}`;
      this.conflict = /changed by someone else/.test(this.problem);
      return false;
    }
    mask.saved = state;
    picture.labelled = true;
    this.problem = "";
    this.conflict = false;
    return !mask.dirty;
  }

  /** The next picture without a mask, from the one that is open on and round to it; −1 where there is none. */
  nextUnlabelled() {
    const count = this.pictures.length;
    for (let step = 1; step <= count; step++) {
      const index = (this.index + step) % count;
      if (!this.pictures[index].labelled && index !== this.index) return index;
    }
    return -1;
  }
}

/** @param {unknown} error */
const sentence = (error) => (error instanceof Error ? error.message : String(error));
