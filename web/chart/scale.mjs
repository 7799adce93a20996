/** Axes without a page: where values lie, which numbers stand beside an axis, and how they are written. */
import { whole } from "../words/text.mjs";

/** @typedef {{low: number, high: number, log: boolean}} Scale */

const FLAT = 1e-9; // a spread, as a part of the values, that is one of rounding only

/**
 * The scale that shows every value; a flat line gets room above and below. On a logarithmic one, values from 0 down are left out.
 * @param {number[]} values @param {boolean} log @returns {Scale | null}
 */
export function scaleFor(values, log) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (log && value <= 0) continue;
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  if (low > high) return null;
  if (high - low <= FLAT * Math.max(Math.abs(low), Math.abs(high))) return log ? { low: low / 2, high: high * 2, log } : { low: low - (Math.abs(low) || 1) / 10, high: high + (Math.abs(high) || 1) / 10, log };
  return { low, high, log };
}

/** Where a value lies, 0 at the low end and 1 at the high one; null where it has no place. @param {Scale} scale @param {number} value */
export function place({ low, high, log }, value) {
  if (!log) return (value - low) / (high - low);
  return value > 0 ? (Math.log(value) - Math.log(low)) / (Math.log(high) - Math.log(low)) : null;
}

/** Round numbers from end to end, about `count` of them. @param {Scale} scale @param {number} count @returns {number[]} */
export function ticks(scale, count) {
  return scale.log ? logTicks(scale, count) : linearTicks(scale.low, scale.high, count);
}

/** @param {number} low @param {number} high @param {number} count */
export function linearTicks(low, high, count) {
  const rough = (high - low) / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough * 0.999) ?? power;
  const found = [];
  for (let index = Math.ceil(low / step - 1e-9); index * step <= high + step * 1e-9; index += 1) found.push(Number((index * step).toPrecision(12)));
  return found;
}

/** @param {Scale} scale @param {number} count */
function logTicks({ low, high }, count) {
  const [from, to] = [Math.floor(Math.log10(low)), Math.ceil(Math.log10(high))];
  if (high / low < 3) return linearTicks(low, high, count);
  const factors = to - from > count ? [1] : to - from > 2 ? [1, 3] : [1, 2, 5];
  const found = [];
  for (let power = from; power <= to; power += 1) {
    for (const factor of factors) {
      const value = Number((factor * 10 ** power).toPrecision(12));
      if (value >= low * 0.999 && value <= high * 1.001) found.push(value);
    }
  }
  const stride = Math.ceil(found.length / (count + 1));
  return found.filter((_, index) => index % stride === 0);
}

/**
 * The last step of an axis: that of a training which has ended, or a round one ahead of one that runs, so that the axis seldom changes.
 * @param {number} step @param {number} steps @param {boolean} runs
 */
export function lastStep(step, steps, runs) {
  if (!runs) return Math.max(1, step);
  const power = 10 ** Math.floor(Math.log10(Math.max(1, step)));
  const round = [1, 2, 5, 10, 20].map((factor) => factor * power).find((end) => end >= 1.1 * step) ?? steps;
  return Math.max(1, Math.min(steps, Math.max(20, round)));
}

/** A number short enough for an axis. @param {number} value */
export function short(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1000 && size < 1e6 && Number.isInteger(value)) return whole(value);
  return size >= 1000 || size < 0.001 ? value.toExponential(1) : String(Number(value.toPrecision(3)));
}

/** A number to read off. @param {number} value */
export function exact(value) {
  const size = Math.abs(value);
  return size !== 0 && (size >= 10_000 || size < 0.001) ? value.toExponential(3) : value.toPrecision(4);
}

/**
 * A view [from, to] made smaller or larger around a step, within [0, steps] and no smaller than four steps.
 * @param {[number, number]} view @param {number} around @param {number} factor @param {number} steps @returns {[number, number]}
 */
export function zoomed([from, to], around, factor, steps) {
  const width = Math.min(steps, Math.max(Math.min(4, steps), (to - from) * factor));
  const share = (around - from) / Math.max(1e-9, to - from);
  const start = Math.min(Math.max(0, around - share * width), steps - width);
  return [start, start + width];
}
