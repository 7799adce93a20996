import { t, whole } from "../words/text.mjs";

/**
 * What a badge says.
 * @typedef {{shape: number[], parameters: number, multiply_adds: number}} Known
 * @typedef {Known | {error: string, input: string} | {waits: string}} Told what the server tells of a node
 * @typedef {{kind: "known" | "wrong" | "waits", text: string, long: string}} Words
 */

/** A count in few letters: 950, 18.4k, 1.5M, 4.1G. @param {number} count */
export function shortCount(count) {
  for (const [unit, size] of /** @type {const} */ ([["G", 1e9], ["M", 1e6], ["k", 1e3]])) {
    if (count >= size) return `${(count / size).toFixed(1)}${unit}`;
  }
  return String(count);
}

/** @param {number[]} shape */
export const showShape = (shape) => shape.join(" × ") || t("one number");

/** @param {Told} told @returns {Words} */
export function wordsOf(told) {
  if ("error" in told) return { kind: "wrong", text: told.error, long: told.error };
  if ("waits" in told) return { kind: "waits", text: told.waits, long: told.waits };
  const { parameters, multiply_adds: adds } = told;
  const text = [showShape(told.shape), parameters && t("{count} params", { count: shortCount(parameters) }), adds && t("{count} MACs", { count: shortCount(adds) })];
  const long = [
    showShape(told.shape),
    parameters && t("{shown} parameter|{shown} parameters", { count: parameters, shown: whole(parameters) }),
    adds && t("{shown} multiply-add for one sample|{shown} multiply-adds for one sample", { count: adds, shown: whole(adds) }),
  ];
  return { kind: "known", text: text.filter(Boolean).join(" · "), long: long.filter(Boolean).join(", ") };
}

/**
 * What to say of a node that is in the workflow more than once, because its subgraph is.
 * @param {Told[]} all @returns {Words}
 */
export function together(all) {
  const words = all.map(wordsOf);
  const first = words.find((one) => one.kind === "wrong") ?? words.find((one) => one.kind === "waits") ?? words[0];
  const shapes = new Set(words.map((one) => one.text));
  if (first.kind !== "known" || shapes.size === 1) return first;
  const said = new Set(all.map((told) => ("shape" in told ? showShape(told.shape) : "")));
  return { kind: "known", text: [...said].join(` ${t("or")} `), long: words.map((one) => one.long).join(`; ${t("or")} `) };
}
