/** Buttons with a picture on them. */
import { html } from "../views/dom.mjs";

const ICONS = {
  brush: "M4 20C4 16 6 15 8 15S11 17 9.500 19S6 20 4 20M9.500 14.500L18 4.500L20 6.500L11 16",
  eraser: "M4 15L13 5L20 11L12 19H8ZM8.500 10L15.500 16.500M12 19H20",
  polygon: "M5 9L13 4L20 10L17 19L7 18ZM5 9V9.010M13 4V4.010M20 10V10.010M17 19V19.010M7 18V18.010",
  fill: "M5 12L12 4L19 12L12 19ZM5 12H19M20.500 16C21.500 18 21.500 19 20.500 19.500S18.500 18 20.500 16M9 7L7 4.500",
  undo: "M9 7H15A5 5 0 0 1 15 17H8M9 7L12 4M9 7L12 10",
  redo: "M15 7H9A5 5 0 0 0 9 17H16M15 7L12 4M15 7L12 10",
  clear: "M5 7H19M10 4H14M7 7L8 20H16L17 7M10.500 10.500V16.500M13.500 10.500V16.500",
  revert: "M5 12A7 7 0 1 0 8 6.300M5 4V8H9",
  save: "M5 4H16L20 8V20H5ZM8 4V9H15V4M8 20V14H16V20",
  previous: "M14 5L7 12L14 19",
  next: "M10 5L17 12L10 19",
  fit: "M4 9V4H9M15 4H20V9M20 15V20H15M9 20H4V15",
  show: "M3 12C6 7 9 6 12 6S18 7 21 12C18 17 15 18 12 18S6 17 3 12M12 9.500A2.500 2.500 0 1 1 11.990 9.500",
  over: "M4 4H14V14H4ZM10 17V20H20V10H17M10 10L17 17",
  help: "M8.500 9A3.500 3.500 0 1 1 12 12.500V14.500M12 18V18.010",
  close: "M6 6L18 18M18 6L6 18",
};

/** @typedef {keyof typeof ICONS} Icon */

/** @param {Icon} icon @param {string} label what it does, with its key @param {() => void} action */
export function iconButton(icon, label, action) {
  const button = html("button", { type: "button", title: label, "aria-label": label, onclick: action });
  button.innerHTML = `<svg viewBox="0 0 24 24" aria-hidden="true"><path d="${ICONS[icon]}"/></svg>`;
  return button;
}
