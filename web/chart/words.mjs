/** How a training goes, in one line. */
import { t, whole } from "../words/text.mjs";

/**
 * What the server tells of a training: samples per second, seconds left, the best epoch (0 for none).
 * @typedef {{state: string, step?: number, steps?: number, epoch?: number, epochs?: number, speed?: number, left?: number | null, best?: number}} Stand
 */

/** @param {Stand} stand */
export function lineOf({ state, step = 0, steps = 0, epoch = 0, epochs = 0, speed = 0, left = null, best = 0 }) {
  const at = { at: whole(step), all: whole(steps) };
  const goOn = ` · ${t("queue it again to go on")}`;
  const found = best ? ` · ${t("best epoch {at}", { at: whole(best) })}` : "";
  const end = best ? t("best epoch {at} of {all}", { at: whole(best), all: whole(epochs) }) : t("step {at} of {all}", at);
  const parts = [t("epoch {at} of {all}", { at: whole(epoch), all: whole(epochs) })];
  if (speed) parts.push(t("{speed} samples/s", { speed: speed >= 10 ? whole(Math.round(speed)) : String(Number(speed.toPrecision(2))) }));
  if (left !== null) parts.push(t("{time} left", { time: clock(left) }));
  switch (state) {
    case "preparing":
      return steps > 1 ? t("preparing, {at} of {all}", at) : t("preparing");
    case "running":
      return parts.join(" · ");
    case "validating":
      return [t("validating"), ...parts].join(" · ");
    case "sampling":
      return [t("sampling"), ...parts].join(" · ");
    case "stopping":
      return t("stopping after this step, to go on with the best weights");
    case "done":
      return `${t("done")} · ${end}`;
    case "stopped early":
      return `${t("stopped early")} · ${end}`;
    case "stopped":
      return t("stopped at step {at} of {all}", at) + found;
    case "cancelled":
      return `${t("cancelled at step {at} of {all}", at)}${goOn}`;
    case "failed":
      return `${t("failed at step {at} of {all}", at)}${goOn}`;
    case "interrupted":
      return `${t("interrupted at step {at} of {all}", at)}${goOn}`;
    default: // "ended", before the server tells how
      return t("ended at step {at} of {all}", at) + found;
  }
}

/** Seconds as m:ss or h:mm:ss. @param {number} seconds */
export function clock(seconds) {
  const all = Math.round(seconds);
  const [hours, minutes, rest] = [Math.floor(all / 3600), Math.floor(all / 60) % 60, String(all % 60).padStart(2, "0")];
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}
