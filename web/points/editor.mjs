/** The editor in a node, and the same one large: the stage, a row of tools above it, a line of words below. */
import { Stage } from "./stage.mjs";
import { describe } from "./marks.mjs";
import { t } from "../words/text.mjs";

/** @typedef {import("./stage.mjs").Picture} Picture */

const ICONS = {
  undo: "M9 7H15A5 5 0 0 1 15 17H8M9 7L12 4M9 7L12 10",
  redo: "M15 7H9A5 5 0 0 0 9 17H16M15 7L12 4M15 7L12 10",
  remove: "M5 7H19M10 4H14M7 7L8 20H16L17 7M10.5 10.5V16.5M13.5 10.5V16.5",
  clear: "M6 6L18 18M18 6L6 18",
  enlarge: "M13 5H19V11M11 19H5V13M19 5L13 11M5 19L11 13",
  done: "M5 12L10 17L19 7",
};

/**
 * @param {string} label what it does, for the tooltip and for those who do not see the icon
 * @param {keyof typeof ICONS} icon @param {() => void} action
 */
function button(label, icon, action) {
  const element = document.createElement("button");
  element.type = "button";
  element.title = label;
  element.setAttribute("aria-label", label);
  element.innerHTML = `<svg viewBox="0 0 24 24" aria-hidden="true"><path d="${ICONS[icon]}"/></svg>`;
  element.addEventListener("click", action);
  return element;
}

/** @param {string} sign @param {string} label @param {() => void} action */
function choice(sign, label, action) {
  const element = document.createElement("button");
  element.type = "button";
  element.className = "visionsmith-sign";
  element.textContent = sign;
  element.title = label;
  element.setAttribute("aria-label", label);
  element.addEventListener("click", action);
  return element;
}

export class Editor {
  /**
   * @param {import("./marks.mjs").Marks} marks
   * @param {{label: string, icon: "enlarge" | "done", action: () => void}} last the button at the end of the row
   */
  constructor(marks, last) {
    this.marks = marks;
    this.tool = { positive: true, object: 0 };
    this.message = "";
    this.stage = new Stage(marks, this.tool);
    this.element = document.createElement("div");
    this.element.className = "visionsmith-points";
    this.element.title = ""; // else the input's long tooltip would hang over the picture
    this.plus = choice("+", t("New marks show what is meant (Shift: the other)"), () => this.choose(true));
    this.minus = choice("−", t("New marks show what is not meant (Shift: the other)"), () => this.choose(false));
    this.object = document.createElement("input");
    Object.assign(this.object, { type: "number", min: "1", max: "99", step: "1", value: "1", title: t("Object that points belong to") });
    this.object.addEventListener("input", () => this.chooseObject());
    /** @param {string} label @param {keyof typeof ICONS} icon @param {() => void} act */
    const tool = (label, icon, act) =>
      button(label, icon, () => {
        act();
        this.stage.focus();
      });
    this.undo = tool(t("Undo (Ctrl+Z)"), "undo", () => marks.undo());
    this.redo = tool(t("Redo (Ctrl+Y)"), "redo", () => marks.redo());
    this.remove = tool(t("Remove the selected mark (Delete, or right-click it)"), "remove", () => marks.remove(marks.selected));
    this.clear = tool(t("Remove all marks"), "clear", () => marks.clear());
    this.status = document.createElement("div");
    this.status.className = "visionsmith-status";
    this.status.setAttribute("role", "status");
    const view = document.createElement("div");
    view.className = "visionsmith-view";
    view.append(this.stage.element);
    this.element.append(this.toolbar(button(last.label, last.icon, last.action)), view, this.status);
    this.draw = this.draw.bind(this);
    marks.views.add(this.draw);
    this.draw();
  }

  destroy() {
    this.stage.destroy();
    this.marks.views.delete(this.draw);
  }

  /** The row of tools. @param {HTMLElement} last */
  toolbar(last) {
    const row = document.createElement("div");
    row.className = "visionsmith-tools";
    row.setAttribute("role", "toolbar");
    row.setAttribute("aria-label", t("Points and boxes"));
    const label = document.createElement("label");
    label.append(t("object"), " ", this.object);
    row.append(this.plus, this.minus, label, this.undo, this.redo, this.remove, this.clear, last);
    return row;
  }

  /** @param {boolean} positive */
  choose(positive) {
    this.tool.positive = positive;
    this.draw();
  }

  chooseObject() {
    const value = Math.trunc(Number(this.object.value));
    if (!(value >= 1 && value <= 99)) return;
    this.tool.object = value - 1;
    const mark = this.marks.list[this.marks.selected];
    if (mark?.kind === "point") this.marks.edit(this.marks.selected, { object: value - 1 });
  }

  /** @param {Picture | null} picture @param {string} message why there is none */
  setPicture(picture, message) {
    this.message = message;
    this.stage.setPicture(picture);
    this.draw();
  }

  draw() {
    const { list, selected, past, future, problem } = this.marks;
    const mark = list[selected];
    this.plus.setAttribute("aria-pressed", String(this.tool.positive));
    this.minus.setAttribute("aria-pressed", String(!this.tool.positive));
    this.undo.disabled = !past.length;
    this.redo.disabled = !future.length;
    this.remove.disabled = !mark;
    this.clear.disabled = !list.length && !problem;
    if (mark?.kind === "point") this.tool.object = mark.object;
    if (document.activeElement !== this.object) this.object.value = String(this.tool.object + 1);
    this.element.classList.toggle("empty", !this.stage.picture);
    this.status.textContent = this.words();
    this.status.title = this.status.textContent;
  }

  words() {
    const { list, selected, problem } = this.marks;
    if (problem) return `${problem} ${t("Drawing or Clear begins anew.")}`;
    const picture = this.stage.picture;
    if (!picture) return list.length ? `${t("{marks}.", { marks: count(list) })} ${this.message}` : this.message;
    if (list[selected]) return describe(list[selected], selected, list.length);
    const lost = list.filter((mark) => mark.x < 0 || mark.y < 0 || mark.x >= picture.width || mark.y >= picture.height).length;
    if (lost) return t("{marks}; {lost} outside the picture of {size}.", { marks: count(list), lost, size: `${picture.width} × ${picture.height}` });
    return list.length ? t("{marks}.", { marks: count(list) }) : t("Click: point. Drag: box. Shift: what is not meant.");
  }
}

/** @param {import("./marks.mjs").Mark[]} list */
function count(list) {
  const boxes = list.filter((mark) => mark.kind === "box").length;
  const points = list.length - boxes;
  const inWords = { points: t("{count} point|{count} points", { count: points }), boxes: t("{count} box|{count} boxes", { count: boxes }) };
  if (points && boxes) return t("{points}, {boxes}", inWords);
  return points ? inWords.points : inWords.boxes;
}

/**
 * The editor in a dialog that fills the window, over the same marks; it goes when it is closed.
 * @param {import("./marks.mjs").Marks} marks @param {Picture | null} picture @param {string} message @param {() => void} onClose
 */
export function openLarge(marks, picture, message, onClose) {
  const dialog = document.createElement("dialog");
  dialog.className = "visionsmith-dialog visionsmith-large";
  dialog.setAttribute("aria-label", t("Points and boxes on the picture"));
  const editor = new Editor(marks, { label: t("Done (Escape)"), icon: "done", action: () => dialog.close() });
  editor.setPicture(picture, message);
  dialog.append(editor.element);
  dialog.addEventListener("keydown", (event) => event.stopPropagation()); // keys mean nothing to the canvas meanwhile
  dialog.addEventListener("close", () => {
    editor.destroy();
    dialog.remove();
    onClose();
  });
  document.body.append(dialog);
  dialog.showModal();
  editor.stage.focus();
  return dialog;
}
