/** What is open in the label editor: a picture, its mask, whether it is saved, and the pictures around it. */
import { t } from "../words/text.mjs";
import { Mask } from "./mask.mjs";

/**
 * @typedef {import("./server.mjs").LabelServer} LabelServer
 * @typedef {import("./server.mjs").Listing} Listing
 * @typedef {{bitmap: ImageBitmap, labels: Uint8Array | null, width: number, height: number, version: string, refused: string}} Loaded
 */

export class Session {
  /**
   * @param {LabelServer} server @param {Listing} listing @param {() => void} onChange told when anything below changed
   * @param {() => void} [settle] finishes what is being drawn, before it is saved
   */
  constructor(server, listing, onChange, settle = () => {}) {
    this.settle = settle;
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
    /** The picture is being left: what is drawn on it now would be lost. */
    this.leaving = false;
    /** Why no mask of this picture can be saved, as a sentence: it can only be looked at. */
    this.refused = "";
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

  /** Whether the picture may be drawn on now. */
  get mayDraw() {
    return this.mask !== null && !this.leaving && !this.refused;
  }

  /** What is so, in a word for the eye and a sentence for the line below. */
  get state() {
    if (this.loading || this.index < 0) return { kind: "busy", text: t("Loading …") };
    if (this.problem) return { kind: "problem", text: this.problem };
    if (this.refused) return { kind: "locked", text: this.refused };
    if (this.saving) return { kind: "busy", text: t("Saving …") };
    if (this.dirty) return { kind: "changed", text: t("Changed") };
    return this.picture?.labelled ? { kind: "saved", text: t("Saved") } : { kind: "new", text: t("No mask yet") };
  }

  /** @param {string} name @returns {Promise<Loaded>} */
  async load(name) {
    const [bitmap, mask] = await Promise.all([this.server.picture(name), this.server.mask(name)]);
    if (bitmap.width !== mask.width || bitmap.height !== mask.height) throw new Error(t("{name} is shown in another size than it has.", { name }));
    return { bitmap, ...mask };
  }

  /**
   * Save what is open if it changed, and open another picture; stays where it is if that cannot be saved.
   * @param {number} index @returns {Promise<boolean>} whether it is open now
   */
  async open(index) {
    if (index < 0 || index >= this.pictures.length) return false;
    if (!(await this.finish())) return false;
    await this.reload(index);
    return true;
  }

  /** Save before something else is opened, or nothing: until then no more is drawn. @returns {Promise<boolean>} whether everything is saved */
  async finish() {
    this.settle();
    this.leaving = true;
    try {
      return await this.save();
    } finally {
      this.leaving = false;
    }
  }

  /** Open a picture as it is on the disk; what is not saved is lost. @param {number} index */
  async reload(index) {
    const turn = ++this.turn;
    const { name } = this.pictures[index];
    Object.assign(this, { index, mask: null, bitmap: null, problem: "", refused: "", conflict: false, loading: true });
    this.onChange();
    try {
      const known = this.ahead?.name === name ? await this.ahead.loaded : null;
      this.ahead = null;
      const { bitmap, labels, width, height, version, refused } = known ?? (await this.load(name));
      if (turn !== this.turn) return;
      Object.assign(this, { bitmap, version, refused, mask: new Mask(width, height, labels ?? undefined) });
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
    if (this.refused) return true;
    this.settle();
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
      const why = sentence(error);
      this.problem = t("Not saved: {why}", { why });
      this.conflict = /changed by someone else/.test(why); // the server speaks English
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
      const { labelled, shared } = this.pictures[index];
      if (!labelled && !shared && index !== this.index) return index;
    }
    return -1;
  }
}

/** @param {unknown} error */
const sentence = (error) => (error instanceof Error ? error.message : String(error));
