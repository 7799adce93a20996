/** The confusion matrix: what was taken for what, in shares of the true class; a cell lists its pictures. */
import { t } from "../words/text.mjs";
import { amountWords, arrows, html, percent } from "./dom.mjs";

/**
 * @typedef {import("./gallery.mjs").Item} Item
 * @typedef {{classes: string[], numbers: number[], counts: number[][], totals: number[], unit: string, of: number}} Matrix
 */

const MOST_WRITTEN = 8; // classes: with more, there is no room for figures in the cells
const MOST_PICTURES = 8;
const RIGHT = [[184, 209, 245], [11, 61, 145]];
const WRONG = [[250, 214, 165], [150, 50, 5]];

/** What a cell says. @param {Matrix} matrix @param {number} row @param {number} column */
export function cellWords(matrix, row, column) {
  const { classes, counts, totals, unit } = matrix;
  const count = counts[row][column];
  const share = totals[row] ? count / totals[row] : 0;
  const values = { truth: classes[row], predicted: classes[column], share: percent(share) };
  return `${t("true {truth}, predicted {predicted}", values)}: ${amountWords(unit, count)}, ${t("{share} of true {truth}", values)}`;
}

/** Background and text of a cell, which can be told apart at every share. @param {number} share @param {boolean} right */
export function cellColors(share, right) {
  const [from, to] = right ? RIGHT : WRONG;
  const color = from.map((value, i) => Math.round(value + (to[i] - value) * Math.sqrt(share)));
  const black = contrast(color, [0, 0, 0]) > contrast(color, [255, 255, 255]);
  return { background: `rgb(${color.join(" ")})`, text: black ? "#000" : "#fff" };
}

/** The contrast of two colours as WCAG counts it. @param {number[]} one @param {number[]} other */
export function contrast(one, other) {
  const [light, dark] = [luminance(one), luminance(other)].sort((a, b) => b - a);
  return (light + 0.05) / (dark + 0.05);
}

/** @param {number[]} color */
function luminance(color) {
  const [red, green, blue] = color.map((value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

/** The pictures of a cell. @param {Item[]} items @param {number} truth @param {number} predicted */
export const examplesOf = (items, truth, predicted) => items.flatMap((item, index) => (item.cells?.some(([one, other]) => one === truth && other === predicted) ? [index] : []));

export class ConfusionView {
  /**
   * @param {import("./gallery.mjs").GalleryView} gallery has the pictures
   * @param {() => void} openGallery brings it to the front
   */
  constructor(gallery, openGallery) {
    this.gallery = gallery;
    this.openGallery = openGallery;
    /** @type {Matrix | null} */
    this.matrix = null;
    this.grid = html("div", { class: "visionsmith-matrix", role: "grid", "aria-label": t("Confusion matrix: rows are true classes, columns predicted ones") });
    this.status = html("div", { class: "visionsmith-status", role: "status" });
    this.strip = html("div", { class: "visionsmith-strip", role: "group", "aria-label": t("Pictures of the cell") });
    this.element = html("div", { class: "visionsmith-view-body" }, this.grid, this.status, this.strip);
    const cells = () => /** @type {HTMLElement[]} */ ([...this.grid.querySelectorAll("[role=gridcell]")]);
    arrows(this.grid, cells, () => this.matrix?.classes.length ?? 1);
    this.grid.addEventListener("mouseleave", () => this.tell(""));
  }

  /** @param {Matrix[]} entries */
  show([matrix]) {
    this.matrix = matrix ?? null;
    this.draw();
    this.tell("");
    this.list([], matrix ? t("Choose a cell to see its pictures.") : "");
  }

  draw() {
    const { matrix } = this;
    this.grid.replaceChildren();
    this.grid.hidden = !matrix;
    if (!matrix) return;
    const size = matrix.classes.length;
    this.grid.style.gridTemplateColumns = `minmax(40px, max-content) repeat(${size}, minmax(0, 1fr))`;
    this.grid.style.gridTemplateRows = `max-content repeat(${size}, minmax(0, 1fr))`;
    this.grid.classList.toggle("visionsmith-many", size > MOST_WRITTEN);
    const corner = html("span", { role: "columnheader", class: "visionsmith-corner" }, t("true ↓ predicted →"));
    const heads = matrix.classes.map((name) => html("span", { role: "columnheader", title: name }, html("span", {}, name)));
    const row = (/** @type {HTMLElement[]} */ cells) => html("div", { role: "row" }, ...cells);
    const lines = matrix.classes.map((name, i) => row([html("span", { role: "rowheader", title: name }, name), ...matrix.classes.map((_, j) => this.cell(matrix, i, j))]));
    this.grid.append(row([corner, ...heads]), ...lines);
  }

  /** @param {Matrix} matrix @param {number} row @param {number} column */
  cell(matrix, row, column) {
    const count = matrix.counts[row][column];
    const share = matrix.totals[row] ? count / matrix.totals[row] : 0;
    const words = cellWords(matrix, row, column);
    const { background, text } = cellColors(share, row === column);
    const style = count ? `background:${background};color:${text}` : "";
    const written = count && matrix.classes.length <= MOST_WRITTEN ? percent(share) : "";
    const choose = () => this.choose(matrix, row, column);
    const cell = html("button", { type: "button", role: "gridcell", "aria-label": words, style, tabindex: row || column ? -1 : 0, onclick: choose }, written);
    cell.addEventListener("mouseenter", () => this.tell(words));
    cell.addEventListener("focus", () => this.tell(words));
    return cell;
  }

  /** List the pictures of a cell. @param {Matrix} matrix @param {number} row @param {number} column */
  choose(matrix, row, column) {
    const found = examplesOf(this.gallery.gallery.items, matrix.numbers[row], matrix.numbers[column]);
    this.list(found, t("None of the pictures that the report has is in this cell."));
  }

  /** @param {number[]} indices of pictures in the gallery @param {string} otherwise */
  list(indices, otherwise) {
    const { items } = this.gallery.gallery;
    const tiles = indices.slice(0, MOST_PICTURES).map((index) => {
      const { name, note, picture } = items[index];
      const tile = html("button", { type: "button", title: `${name}: ${note}`, "aria-label": t("Show {name}: {note}", { name, note }) }, html("img", { src: this.gallery.urlOf(picture), alt: "", draggable: "false" }));
      tile.addEventListener("click", () => {
        this.openGallery();
        this.gallery.go(index);
        this.gallery.stage.element.focus({ preventScroll: true });
      });
      return tile;
    });
    this.strip.replaceChildren(...(tiles.length ? tiles : [otherwise]));
  }

  /** @param {string} words */
  tell(words) {
    const { matrix } = this;
    const some = matrix && matrix.of > matrix.classes.length ? `${t("The {some} most confused of {all} classes.", { some: matrix.classes.length, all: matrix.of })} ` : "";
    this.status.textContent = words || (matrix ? `${some}${t("Point at a cell, or use the arrows.")}` : t("Run once to see what is taken for what."));
    this.status.title = this.status.textContent;
  }
}
