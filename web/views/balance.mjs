/** How much there is of each class, as bars that can be read at 0.03 % as well. */
import { t, whole } from "../words/text.mjs";
import { amountWords, arrows, choice, html, percent, toggle } from "./dom.mjs";

/**
 * @typedef {{amounts: number[], pictures: number[], count: number}} Split pixels or samples of each class, pictures that have it, pictures in all
 * @typedef {{unit: "pixels" | "samples", classes: string[], colors: string[], splits: Record<string, Split>}} Balance
 * @typedef {{name: string, color: string, amount: number, share: number, pictures: number}} Bar
 */

const PLAIN = "#5b8def";

/** @param {Balance} balance @param {string} name of the split @param {boolean} [sorted] the rarest first @returns {Bar[]} */
export function barsOf(balance, name, sorted = false) {
  const { amounts, pictures } = balance.splits[name];
  const all = amounts.reduce((sum, amount) => sum + amount, 0);
  const bars = balance.classes.map((one, i) => ({
    name: one,
    color: balance.colors[i] && balance.colors[i] !== "#000000" ? balance.colors[i] : balance.colors.length ? "#8a8f98" : PLAIN,
    amount: amounts[i],
    share: all ? amounts[i] / all : 0,
    pictures: pictures[i],
  }));
  return sorted ? bars.sort((a, b) => a.share - b.share) : bars;
}

/** The power of ten where a logarithmic axis begins: half a decade or more below the smallest share, so that its bar is seen. @param {Bar[]} bars */
export function firstDecade(bars) {
  const least = Math.min(...bars.map(({ share }) => share).filter(Boolean), 0.1);
  return Math.max(-9, Math.floor(Math.log10(least) - 0.5));
}

/** How long a bar is, 0 to 1. @param {number} share @param {number} first decade of the axis, 0 for a linear one */
export const lengthOf = (share, first) => (share <= 0 ? 0 : first ? Math.max(0, 1 - Math.log10(share) / first) : share);

/** What the line below says of a class. @param {Bar} bar @param {Balance} balance @param {string} name of the split */
export function barWords(bar, balance, name) {
  const { count: all } = balance.splits[name];
  const share = percent(bar.share);
  const amount = `${bar.name}: ${amountWords(balance.unit, bar.amount)}`;
  if (balance.unit === "samples") return `${amount}, ${t("{share} of {name}", { share, name })}`;
  const seen = { some: whole(bar.pictures), all: whole(all), share: percent(all ? bar.pictures / all : 0) };
  return `${amount}, ${share}, ${t("in {some} of {all} pictures ({share})", seen)}`;
}

export class BalanceView {
  constructor() {
    /** @type {Balance | null} */
    this.balance = null;
    this.split = "";
    this.logarithmic = true;
    this.sorted = false;
    this.choice = html("span");
    const log = toggle(t("log"), t("Logarithmic scale, so that rare classes show"), true, (on) => this.set({ logarithmic: on }));
    const sort = toggle(t("rarest first"), t("Put the rarest class first"), false, (on) => this.set({ sorted: on }));
    this.bars = html("div", { class: "visionsmith-bars visionsmith-scroll", role: "listbox", "aria-label": t("Classes and their shares"), "data-capture-wheel": "true" });
    this.axis = html("div", { class: "visionsmith-axis", "aria-hidden": "true" });
    this.status = html("div", { class: "visionsmith-status", role: "status" });
    this.element = html("div", { class: "visionsmith-view-body" }, html("div", { class: "visionsmith-row" }, this.choice, log, sort), this.bars, this.axis, this.status);
    arrows(this.bars, () => /** @type {HTMLElement[]} */ ([...this.bars.children]), () => 1);
    this.bars.addEventListener("mouseleave", () => this.tell(null));
  }

  /** @param {{logarithmic?: boolean, sorted?: boolean, split?: string}} settings */
  set(settings) {
    Object.assign(this, settings);
    this.draw();
  }

  /** @param {Balance[]} entries */
  show([balance]) {
    this.balance = balance ?? null;
    const names = Object.keys(balance?.splits ?? {});
    this.split = names.includes(this.split) ? this.split : (names[0] ?? "");
    const select = choice(t("Split"), names.map((name) => [name, `${name} (${whole(balance.splits[name].count)})`]), (split) => this.set({ split }));
    select.value = this.split;
    this.choice.replaceChildren(...(names.length ? [select] : []));
    this.draw();
  }

  draw() {
    const { balance, split } = this;
    this.bars.replaceChildren();
    this.axis.replaceChildren();
    this.tell(null);
    if (!balance) return;
    const bars = barsOf(balance, split, this.sorted);
    const first = this.logarithmic ? firstDecade(bars) : 0;
    this.bars.append(...bars.map((bar, index) => this.row(bar, index, first)));
    const marks = first ? Array.from({ length: -first + 1 }, (_, i) => first + i) : [0, 0.25, 0.5, 0.75, 1];
    const places = marks.map((mark) => (first ? { share: 10 ** mark, at: 1 - mark / first } : { share: mark, at: mark }));
    this.axis.append(...places.map(({ share, at }) => html("span", { style: `left:${(100 * at).toFixed(2)}%` }, `${Number((100 * share).toPrecision(2))} %`)));
  }

  /** @param {Bar} bar @param {number} index @param {number} first */
  row(bar, index, first) {
    const words = barWords(bar, /** @type {Balance} */ (this.balance), this.split);
    const track = html("span", { class: "visionsmith-track" }, html("i", { style: `width:${(100 * lengthOf(bar.share, first)).toFixed(2)}%;background:${bar.color}` }));
    const row = html("div", { role: "option", "aria-label": words, "aria-selected": "false", tabindex: index ? -1 : 0 }, html("span", { class: "visionsmith-name" }, bar.name), track, html("b", {}, percent(bar.share)));
    row.addEventListener("mouseenter", () => this.tell(words));
    row.addEventListener("focus", () => this.tell(words));
    return row;
  }

  /** @param {string | null} words */
  tell(words) {
    this.status.textContent = words ?? this.introduction();
    this.status.title = this.status.textContent;
  }

  introduction() {
    if (!this.balance) return t("Run once to see how much there is of each class.");
    const { split } = this;
    return this.balance.unit === "pixels"
      ? t("Share of the pixels of {split}; point at a bar for more.", { split })
      : t("Share of the samples of {split}; point at a bar for more.", { split });
  }
}
