/**
 * What a badge says.
 * @typedef {{shape: number[], parameters: number, multiply_adds: number}} Known
 * @typedef {Known | {error: string, input: string} | {waits: string}} Told what the server tells of a node
 * @typedef {{kind: "known" | "wrong" | "waits", text: string, long: string}} Words
 */

const digits = new Intl.NumberFormat("en"); // toLocaleString makes a new one for each number

/** A count in few letters: 950, 18.4k, 1.5M, 4.1G. @param {number} count */
export function shortCount(count) {
  for (const [unit, size] of /** @type {const} */ ([["G", 1e9], ["M", 1e6], ["k", 1e3]])) {
    if (count >= size) return `${(count / size).toFixed(1)}${unit}`;
  }
  return String(count);
}

/** @param {number[]} shape */
export const showShape = (shape) => shape.join(" × ") || "one number";

/** @param {Told} told @returns {Words} */
export function wordsOf(told) {
  if ("error" in told) return { kind: "wrong", text: told.error, long: told.error };
  if ("waits" in told) return { kind: "waits", text: told.waits, long: told.waits };
  const counts = /** @type {[number, string, string][]} */ ([
    [told.parameters, "params", "parameters"],
    [told.multiply_adds, "MACs", "multiply-adds for one sample"],
  ]).filter(([count]) => count);
  const text = [showShape(told.shape), ...counts.map(([count, unit]) => `${shortCount(count)} ${unit}`)].join(" · ");
  const long = [showShape(told.shape), ...counts.map(([count, , unit]) => `${digits.format(count)} ${unit}`)].join(", ");
  return { kind: "known", text, long };
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
  return { kind: "known", text: [...said].join(" or "), long: words.map((one) => one.long).join("; or ") };
}
