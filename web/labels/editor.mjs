/** The label editor: a dialog that fills the window, and what its buttons and keys do. */
import { html } from "../views/dom.mjs";
import { t } from "../words/text.mjs";
import { Message, shareSlider, slider, TOOLS, toolWords } from "./controls.mjs";
import { iconButton } from "./elements.mjs";
import { meaningOf } from "./keys.mjs";
import { IGNORE } from "./mask.mjs";
import { helpPage, Palette, PictureList } from "./panels.mjs";
import { Session } from "./session.mjs";
import { LARGEST, sizeAt, Tools } from "./tools.mjs";
import { View } from "./view.mjs";

/** @typedef {import("./tools.mjs").Choice} Choice @typedef {import("./tools.mjs").Tool} Tool */

const ZOOM = 1.25;

/** Actions that move the picture: not while the pointer draws on it, because that would draw a line right across. */
const MOVING = new Set(["zoomIn", "zoomOut", "fit", "help"]);
/** Actions that a key which is held down does again and again. */
const REPEATED = new Set(["undo", "redo", "smaller", "larger", "zoomIn", "zoomOut"]);
/** Actions while the page of keys is open. */
const ON_HELP = new Set(["help", "escape", "save"]);

/** Kept from one opening to the next. @type {Choice & {opacity: number, shown: boolean, brightness: number, contrast: number}} */
const chosen = { tool: "brush", label: 1, size: 9, backgroundOnly: false, opacity: 0.55, shown: true, brightness: 1, contrast: 1 };

/** @param {unknown} error */
const sentence = (error) => (error instanceof Error ? error.message : String(error));

/** Say something else; what is the same already costs nothing, and is not read out again. @param {HTMLElement} element @param {string} text */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export class LabelEditor {
  /**
   * @param {import("./server.mjs").LabelServer} server @param {import("./server.mjs").Listing} listing
   * @param {{onClasses: (text: string) => void, onClose: () => void}} to told of a class that was added, and of the end
   */
  constructor(server, listing, to) {
    this.server = server;
    this.to = to;
    this.changed = this.changed.bind(this);
    this.session = new Session(server, listing, this.changed, () => this.tools.settle());
    this.view = new View(() => this.moved());
    this.tools = new Tools(this.view, chosen, {
      pick: (label) => this.choose(label),
      hover: (place) => this.hover(place),
      say: (text) => this.say(text),
      mayDraw: () => this.session.mayDraw,
      chosen: () => this.showChoice(),
      cornered: () => this.showState(),
    });
    this.list = new PictureList((index) => this.open(index));
    this.palette = new Palette((label) => this.choose(label, true), (name) => this.addClass(name));
    this.help = helpPage(() => this.toggleHelp());
    this.said = "";
    this.dialog = html("dialog", { class: "visionsmith-dialog visionsmith-labels", "aria-label": t("Label pictures of {folder}", { folder: listing.folder }) });
    this.message = new Message({ saveAgain: () => this.act("save"), reload: () => this.act("revert"), leave: () => this.dialog.close() });
    this.state = html("span", { class: "visionsmith-label-state", role: "status" });
    this.where = html("span", { class: "visionsmith-label-where" });
    this.title = html("span", { class: "visionsmith-label-title" });
    this.hint = html("p", { class: "visionsmith-label-hint" });
    this.leave = (/** @type {BeforeUnloadEvent} */ event) => (this.session.dirty || this.tools.busy) && event.preventDefault();
    /** What each action of the table of keys does. @type {Record<string, () => unknown>} */
    this.actions = {
      ...Object.fromEntries(TOOLS.map((tool) => [tool, () => this.use(tool)])),
      smaller: () => this.tools.resize(-1),
      larger: () => this.tools.resize(1),
      close: () => this.tools.close(),
      removeCorner: () => this.tools.removeCorner(),
      escape: () => this.escape(),
      ignore: () => this.choose(IGNORE),
      backgroundOnly: () => this.toggle("backgroundOnly"),
      zoomIn: () => this.view.zoom(ZOOM),
      zoomOut: () => this.view.zoom(1 / ZOOM),
      fit: () => this.view.fit(),
      toggleMask: () => this.toggle("shown"),
      help: () => this.toggleHelp(),
      next: () => this.go(1),
      previous: () => this.go(-1),
      nextUnlabelled: () => this.goUnlabelled(),
      save: () => this.session.save(true),
      undo: () => this.undo(),
      redo: () => this.redo(),
      clear: () => this.clear(),
      revert: () => this.revert(),
      press: () => this.tools.press(false),
      pressJoined: () => this.tools.press(true),
    };
    this.toolButtons = TOOLS.map((tool) => ({ tool, element: this.button(tool, toolWords(tool)[0], tool) }));
    this.buttons = {
      undo: this.button("undo", t("Undo (Ctrl+Z)"), "undo"),
      redo: this.button("redo", t("Redo (Ctrl+Shift+Z)"), "redo"),
      clear: this.button("clear", t("Remove everything that is drawn"), "clear"),
      revert: this.button("revert", t("Load the saved mask again; what is not saved is lost"), "revert"),
      save: this.button("save", t("Save (Ctrl+S)"), "save"),
      shown: this.button("show", t("Show the mask (H)"), "toggleMask"),
      backgroundOnly: this.button("over", t("Paint over the background only (O)"), "backgroundOnly"),
    };
    this.size = slider(t("Brush size"), { min: 0, max: 100 }, (value) => {
      chosen.size = sizeAt(value);
      this.showChoice();
    });
    this.opacity = slider(t("Opacity"), { min: 10, max: 100, step: 5 }, (value) => {
      chosen.opacity = value / 100;
      chosen.shown = true;
      this.showChoice();
    });
    this.light = {
      brightness: shareSlider(t("Brightness"), (share) => this.lighten("brightness", share)),
      contrast: shareSlider(t("Contrast"), (share) => this.lighten("contrast", share)),
    };
    this.build();
    this.view.setColors(listing.classes);
    this.palette.setClasses(listing.classes);
    this.list.setPictures(listing.pictures);
    if (chosen.label !== IGNORE && chosen.label >= listing.classes.length) chosen.label = 1;
    this.showChoice();
  }

  get mask() {
    return this.session.mask;
  }

  build() {
    const { element } = this.view;
    element.setAttribute("role", "application");
    element.setAttribute("aria-label", t("Picture and mask. Arrows move the cursor, D draws there, question mark shows all keys."));
    element.tabIndex = 0;
    Object.defineProperty(element, "type", { value: "textarea" }); // ComfyUI leaves Ctrl+Z alone in such an element
    const stage = html("div", { class: "visionsmith-label-stage-area" }, element, this.message.element, this.help);
    const status = html("div", { class: "visionsmith-label-status-line" }, this.state, this.where);
    const settings = html("div", { class: "visionsmith-label-settings" }, this.size.row, this.opacity.row, this.light.brightness.row, this.light.contrast.row, this.hint);
    settings.addEventListener("pointerup", () => this.view.element.focus({ preventScroll: true })); // a slider that was dragged would keep the keys
    const side = html("div", { class: "visionsmith-label-side" }, this.palette.element, settings);
    this.dialog.append(this.toolbar(), this.list.element, stage, side, status);
    this.dialog.addEventListener("keydown", (event) => this.onKey(event));
    this.dialog.addEventListener("keyup", (event) => this.onKeyUp(event));
    this.dialog.addEventListener("cancel", (event) => event.preventDefault());
    this.dialog.addEventListener("close", () => this.closed());
    window.addEventListener("beforeunload", this.leave);
  }

  /** A button for an action; the keyboard goes back to the picture. @param {import("./elements.mjs").Icon} icon @param {string} label @param {string} action */
  button(icon, label, action) {
    return iconButton(icon, label, () => this.act(action));
  }

  /** @param {string} action */
  act(action) {
    this.actions[action]();
    if (action !== "help") this.view.element.focus({ preventScroll: true });
  }

  toolbar() {
    const { undo, redo, clear, revert, save, shown, backgroundOnly } = this.buttons;
    const group = (/** @type {HTMLElement[]} */ ...children) => html("div", { class: "visionsmith-label-group" }, ...children);
    return html(
      "div",
      { class: "visionsmith-label-bar", role: "toolbar", "aria-label": t("Tools") },
      group(...this.toolButtons.map(({ element }) => element), backgroundOnly),
      group(undo, redo, clear, revert),
      group(this.button("fit", t("All of the picture (Home)"), "fit"), shown),
      group(this.button("previous", t("Save, previous picture (Page Up)"), "previous"), this.title, this.button("next", t("Save, next picture (Page Down)"), "next")),
      group(save, this.button("help", t("Keys (?)"), "help"), iconButton("close", t("Save and close (Escape)"), () => this.close())),
    );
  }

  /** Open the window. */
  async start() {
    document.body.append(this.dialog);
    this.dialog.showModal();
    this.view.element.focus({ preventScroll: true });
    const first = this.session.pictures.findIndex(({ labelled, shared }) => !labelled && !shared);
    await this.open(Math.max(0, first));
  }

  /** @param {number} index */
  async open(index) {
    this.say("");
    if (index !== this.session.index) await this.session.open(index);
  }

  /** @param {number} step */
  async go(step) {
    const index = this.list.beside(this.session.index, step);
    if (index >= 0) await this.open(index);
    else if (await this.session.save()) this.say(step > 0 ? t("This is the last picture.") : t("This is the first picture."));
  }

  async goUnlabelled() {
    await this.session.finish();
    const index = this.session.nextUnlabelled();
    if (index >= 0) await this.open(index);
    else this.say(this.session.problem ? "" : t("Every other picture has a mask."));
  }

  /** @param {Tool} tool */
  use(tool) {
    if (chosen.tool !== tool && this.tools.corners.length && !this.tools.close()) this.tools.cancel();
    chosen.tool = tool;
    this.showChoice();
  }

  /** @param {number} label @param {boolean} [focus] put the keyboard back on the picture */
  choose(label, focus = false) {
    if (label !== IGNORE && label >= this.session.listing.classes.length) {
      this.say(t("There is no class {label}.", { label }));
      return;
    }
    chosen.label = label;
    if (chosen.tool === "eraser" && label !== 0) chosen.tool = "brush";
    this.say("");
    this.showChoice();
    if (focus) this.view.element.focus({ preventScroll: true });
  }

  /** Show the picture lighter or with more contrast; what is saved is the mask alone. @param {"brightness" | "contrast"} what @param {number} share */
  lighten(what, share) {
    chosen[what] = share;
    this.showChoice();
  }

  /** @param {"backgroundOnly" | "shown"} what */
  toggle(what) {
    chosen[what] = !chosen[what];
    this.showChoice();
  }

  undo() {
    if (!this.tools.removeCorner()) this.mask?.undo();
  }

  redo() {
    this.tools.end();
    this.mask?.redo();
  }

  revert() {
    this.tools.cancel();
    return this.session.revert();
  }

  clear() {
    const { mask } = this;
    if (!mask || !this.session.mayDraw) return;
    this.tools.cancel();
    mask.begin();
    for (let y = 0; y < mask.height; y++) mask.row(y, 0, mask.width, 0);
    mask.commit();
  }

  /** @param {string} name @returns {Promise<boolean>} whether there is such a class now */
  async addClass(name) {
    const before = this.server.settings;
    const classes = `${before.classes.trim().replace(/,$/, "")}, ${name.replace(/[,\n]/g, " ")}`;
    this.server.settings = { ...before, classes };
    try {
      const listing = await this.server.list();
      this.to.onClasses(classes);
      this.session.listing.classes = listing.classes;
    } catch (error) {
      this.server.settings = before;
      this.say(sentence(error));
      return false;
    }
    this.palette.setClasses(this.session.listing.classes);
    this.view.setColors(this.session.listing.classes);
    this.choose(this.session.listing.classes.length - 1, true);
    return true;
  }

  toggleHelp() {
    this.help.hidden = !this.help.hidden;
    (this.help.hidden ? this.view.element : this.help).focus({ preventScroll: true });
  }

  escape() {
    if (!this.help.hidden) this.toggleHelp();
    else if (!this.tools.cancel()) this.close();
  }

  /** Save and close; stays open if that fails, unless nothing can be done about it. */
  async close() {
    if ((await this.session.finish()) || !this.mask) this.dialog.close();
    else this.say("");
  }

  closed() {
    window.removeEventListener("beforeunload", this.leave);
    this.view.destroy();
    this.dialog.remove();
    this.to.onClose();
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    event.stopPropagation(); // keys mean nothing to the canvas meanwhile
    const target = /** @type {HTMLElement} */ (event.target);
    const typing = target instanceof HTMLInputElement && target.type === "text";
    if (event.isComposing) return; // of a Korean or Chinese word
    if (typing && event.key === "Escape") this.view.element.focus({ preventScroll: true });
    if (typing && !(event.key.toLowerCase() === "s" && (event.ctrlKey || event.metaKey))) return;
    const meaning = meaningOf(event);
    const action = meaning && "action" in meaning ? meaning.action : "";
    if (!this.help.hidden && !ON_HELP.has(action)) return; // other keys scroll it
    if (event.key === " " && !target.closest("button, input, select")) {
      event.preventDefault();
      this.tools.space = true;
      this.tools.draw();
      return;
    }
    const control = target.closest("button, input, select, [role=listbox]");
    if (!meaning || (control && ("step" in meaning || event.key === "Enter"))) return;
    event.preventDefault();
    if (this.tools.gesture && ("step" in meaning || MOVING.has(action))) return;
    if ("step" in meaning) this.tools.step(meaning.step[0], meaning.step[1]);
    else if ("label" in meaning) this.choose(meaning.label);
    else if (!event.repeat || REPEATED.has(action)) this.actions[action]();
  }

  /** @param {KeyboardEvent} event */
  onKeyUp(event) {
    event.stopPropagation();
    if (event.key !== " ") return;
    this.tools.space = false;
    this.tools.draw();
  }

  /** @param {string} text */
  say(text) {
    this.said = text;
    this.showState();
  }

  /** The picture lies elsewhere. */
  moved() {
    this.tools.draw();
    this.hover(this.tools.place);
  }

  /** @param {import("./raster.mjs").Place | null} place */
  hover(place) {
    const { mask } = this;
    if (!mask) return;
    const size = `${mask.width} × ${mask.height}`;
    const zoom = `${Math.round(this.view.scale * 100)} %`;
    if (!place || !this.view.holds(place)) {
      setText(this.where, `${size} · ${zoom}`);
      return;
    }
    const [x, y] = [Math.floor(place.x), Math.floor(place.y)];
    const label = mask.at(x, y);
    const name = label === IGNORE ? t("does not count") : (this.session.listing.classes[label]?.name ?? label);
    setText(this.where, `x ${x}, y ${y}: ${name} · ${size} · ${zoom}`);
  }

  /** The session, or what is drawn, changed. */
  changed() {
    const { bitmap, mask, index, picture } = this.session;
    if (mask !== this.view.mask) {
      if (mask && bitmap) this.view.show(bitmap, mask);
      else this.view.clear();
      this.tools.reset();
    }
    this.hover(this.tools.place);
    if (index >= 0) this.list.show(index, this.session.dirty);
    setText(this.title, picture ? `${picture.name.split("/").at(-1)} · ${t("{at} of {all}", { at: index + 1, all: this.session.pictures.length })}` : "");
    this.showState();
  }

  showState() {
    const { state, mask } = this.session;
    this.state.dataset.kind = state.kind;
    setText(this.state, this.said && state.kind !== "problem" ? `${state.text}. ${this.said}` : state.text);
    this.message.show(state, mask !== null, this.session.dirty);
    this.buttons.undo.disabled = !mask?.past.length && !this.tools.corners.length;
    this.buttons.redo.disabled = !mask?.future.length;
    this.buttons.clear.disabled = !mask || state.kind === "locked";
    this.buttons.revert.disabled = !this.session.dirty && state.kind !== "problem";
    this.buttons.save.disabled = this.buttons.clear.disabled;
  }

  showChoice() {
    for (const { tool, element } of this.toolButtons) element.setAttribute("aria-pressed", String(tool === chosen.tool));
    this.buttons.shown.setAttribute("aria-pressed", String(chosen.shown));
    this.buttons.backgroundOnly.setAttribute("aria-pressed", String(chosen.backgroundOnly));
    this.hint.textContent = toolWords(chosen.tool)[1];
    this.palette.show(chosen.tool === "eraser" ? 0 : chosen.label);
    this.view.setOverlay(chosen.shown, chosen.opacity);
    const place = Number(this.size.input.value); // several mean one small brush; it stays, so that arrow keys get on
    this.size.show(sizeAt(place) === chosen.size ? place : (100 * Math.log(chosen.size)) / Math.log(LARGEST), t("{size} px", { size: chosen.size }));
    this.opacity.show(chosen.opacity * 100, `${Math.round(chosen.opacity * 100)} %`);
    for (const what of /** @type {const} */ (["brightness", "contrast"])) this.light[what].show(chosen[what]);
    this.view.setLight(chosen.brightness, chosen.contrast);
    this.tools.draw();
  }
}
