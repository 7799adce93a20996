/** The table of an experiment: sorted by any column, the best marked, copied as Markdown. */
import { spoken, t } from "../words/text.mjs";
import { button, copy, html } from "./dom.mjs";

/**
 * @typedef {{text: string, value: string | number | null, best: boolean}} Cell
 * @typedef {{title: string, head: string[], rows: Cell[][], best: string, failed: string[]}} Table
 * @typedef {"ascending" | "descending"} Direction
 */

/**
 * The rows by a column: words by the alphabet, numbers by size, what has no value last.
 * @param {Cell[][]} rows @param {number} column @param {Direction} direction
 */
export function sorted(rows, column, direction) {
  const sign = direction === "ascending" ? 1 : -1;
  return [...rows].sort((one, other) => {
    const [a, b] = [one[column].value, other[column].value];
    if (a === null || b === null) return Number(a === null) - Number(b === null);
    if (typeof a === "number" && typeof b === "number") return sign * (a - b);
    return sign * String(a).localeCompare(String(b), spoken(), { numeric: true });
  });
}

/** A table as Markdown, the best in bold. @param {string[]} head @param {Cell[][]} rows */
export function markdown(head, rows) {
  const clean = (/** @type {string} */ text) => text.replaceAll("|", "\\|").replaceAll("\n", " ");
  const line = (/** @type {string[]} */ cells) => `| ${cells.join(" | ")} |`;
  const numeric = head.map((_, column) => rows.some((row) => typeof row[column].value === "number"));
  const rule = numeric.map((right) => (right ? "--:" : "---"));
  const body = rows.map((row) => line(row.map(({ text, best }) => (best ? `**${clean(text)}**` : clean(text)))));
  return `${[line(head.map(clean)), line(rule), ...body].join("\n")}\n`;
}

export class ResultsView {
  constructor() {
    /** @type {Table | null} */
    this.table = null;
    /** @type {{column: number, direction: Direction} | null} */
    this.order = null;
    this.copy = button(t("Copy as Markdown"), t("Copy the table as Markdown, in this order"), () => this.copyTable());
    this.status = html("span", { class: "visionsmith-status", role: "status" });
    this.body = html("div", { class: "visionsmith-table visionsmith-scroll", tabindex: 0, role: "region", "aria-label": t("Results"), "data-capture-wheel": "true" });
    this.element = html("div", { class: "visionsmith-view-body" }, html("div", { class: "visionsmith-row" }, this.copy, this.status), this.body);
  }

  /** @param {Table[]} tables */
  show([table]) {
    const before = this.order && this.table?.head[this.order.column];
    this.table = table ?? null;
    const column = before ? (table?.head.indexOf(before) ?? -1) : -1;
    this.order = this.order && column >= 0 ? { ...this.order, column } : null;
    this.copy.disabled = !table;
    this.tell(table ? table.best : t("Run once to see the table."));
    this.draw();
  }

  get rows() {
    const { table, order } = this;
    if (!table) return [];
    return order ? sorted(table.rows, order.column, order.direction) : table.rows;
  }

  draw() {
    const { table } = this;
    this.body.replaceChildren();
    if (!table) return;
    const head = html("tr", {}, ...table.head.map((name, column) => this.headCell(name, column)));
    const lines = this.rows.map((row) => html("tr", {}, ...row.map(cell)));
    this.body.append(html("table", {}, html("caption", {}, table.title), html("thead", {}, head), html("tbody", {}, ...lines)));
    this.body.append(...table.failed.map((text) => html("p", {}, t("failed: {text}", { text }))));
  }

  /** @param {string} name @param {number} column */
  headCell(name, column) {
    const direction = this.order?.column === column ? this.order.direction : undefined;
    const arrow = direction ? (direction === "ascending" ? " ▲" : " ▼") : "";
    const sort = html("button", { type: "button", title: t("Sort by {name}", { name }), onclick: () => this.sort(column) }, `${name}${arrow}`);
    return html("th", { scope: "col", "aria-sort": direction }, sort);
  }

  /** Sort by a column; again turns it round. Numbers begin with the largest. @param {number} column */
  sort(column) {
    const numbers = this.table?.rows.some((row) => typeof row[column].value === "number");
    const first = numbers ? "descending" : "ascending";
    const turned = this.order?.column === column && this.order.direction === first;
    this.order = { column, direction: turned ? (first === "ascending" ? "descending" : "ascending") : first };
    this.draw();
    /** @type {NodeListOf<HTMLElement>} */ (this.body.querySelectorAll("th button"))[column]?.focus({ preventScroll: true });
  }

  async copyTable() {
    if (!this.table) return;
    const done = await copy(markdown(this.table.head, this.rows), this.element);
    this.tell(done ? t("Copied.") : t("The browser does not let us copy; select the table instead."));
  }

  /** @param {string} words */
  tell(words) {
    this.status.textContent = words;
    this.status.title = words;
  }
}

/** @param {Cell} shown */
function cell({ text, value, best }) {
  const words = best ? [html("strong", { title: t("the best of its column") }, text)] : [text];
  return html("td", { class: typeof value === "number" || value === null ? "visionsmith-number" : undefined }, ...words);
}
