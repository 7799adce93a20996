/** The keys of the label editor: one table for what they do and for the page that says so. */
import { t } from "../words/text.mjs";

/** @typedef {{keys: string[], shown: () => string, does: () => string, action: string}} Key */

/** Heading → its keys. @type {Record<string, Key[]>} */
export const KEYS = {
  Tools: [
    { keys: ["b"], shown: () => "B", does: () => t("Brush; the right button erases, Shift draws a line from the last stroke"), action: "brush" },
    { keys: ["e"], shown: () => "E", does: () => t("Eraser: the background"), action: "eraser" },
    { keys: ["p"], shown: () => "P", does: () => t("Polygon: click its corners, drag a corner to move it"), action: "polygon" },
    { keys: ["f"], shown: () => "F", does: () => t("Fill what hangs together"), action: "fill" },
    { keys: ["[", ","], shown: () => t("{one} or {other}", { one: "[", other: "," }), does: () => t("Smaller brush (Alt + wheel)"), action: "smaller" },
    { keys: ["]", "."], shown: () => t("{one} or {other}", { one: "]", other: "." }), does: () => t("Larger brush"), action: "larger" },
    { keys: ["enter"], shown: () => "Enter", does: () => t("Close the polygon"), action: "close" },
    { keys: ["backspace", "delete"], shown: () => "Backspace", does: () => t("Take its last corner away"), action: "removeCorner" },
    { keys: ["escape"], shown: () => "Escape", does: () => t("Give up the polygon; otherwise save and close"), action: "escape" },
  ],
  Classes: [
    { keys: [], shown: () => "0 … 9", does: () => t("Class of this number; 0 is the background"), action: "" },
    { keys: ["i"], shown: () => "I", does: () => t("Ignore: pixels that do not count (255)"), action: "ignore" },
    { keys: [], shown: () => t("Alt + click"), does: () => t("Class of the pixel under the pointer"), action: "" },
    { keys: ["o"], shown: () => "O", does: () => t("Paint over the background only, on and off"), action: "backgroundOnly" },
  ],
  View: [
    { keys: [], shown: () => t("Wheel"), does: () => t("Zoom to the pointer, up to single pixels"), action: "" },
    { keys: ["+", "="], shown: () => "+", does: () => t("Zoom in"), action: "zoomIn" },
    { keys: ["-"], shown: () => "−", does: () => t("Zoom out"), action: "zoomOut" },
    { keys: ["home"], shown: () => "Home", does: () => t("All of the picture"), action: "fit" },
    { keys: [], shown: () => t("Space + drag"), does: () => t("Move the picture (also with the middle button)"), action: "" },
    { keys: ["h"], shown: () => "H", does: () => t("Hide and show the mask"), action: "toggleMask" },
    { keys: ["?", "f1"], shown: () => "?", does: () => t("These keys"), action: "help" },
  ],
  Pictures: [
    { keys: ["n", "pagedown"], shown: () => t("{one} or {other}", { one: "N", other: "Page Down" }), does: () => t("Save, next picture"), action: "next" },
    { keys: ["shift+n", "pageup"], shown: () => t("{one} or {other}", { one: "Shift + N", other: "Page Up" }), does: () => t("Save, previous picture"), action: "previous" },
    { keys: ["u"], shown: () => "U", does: () => t("Save, next picture without a mask"), action: "nextUnlabelled" },
    { keys: ["ctrl+s"], shown: () => "Ctrl + S", does: () => t("Save; an empty mask says that nothing is there"), action: "save" },
    { keys: ["ctrl+z"], shown: () => "Ctrl + Z", does: () => t("Undo"), action: "undo" },
    { keys: ["ctrl+shift+z", "ctrl+y"], shown: () => "Ctrl + Shift + Z", does: () => t("Redo"), action: "redo" },
  ],
  "Without a mouse": [
    { keys: [], shown: () => t("Arrows"), does: () => t("Move the cursor by a pixel, with Shift by ten"), action: "" },
    { keys: ["d"], shown: () => "D", does: () => t("What a click does: a dot, a corner, a fill"), action: "press" },
    { keys: ["shift+d"], shown: () => "Shift + D", does: () => t("A line from the last stroke to here"), action: "pressJoined" },
  ],
};

/** What a heading of the table says. @param {string} heading */
export function headingWords(heading) {
  switch (heading) {
    case "Tools":
      return t("Tools");
    case "Classes":
      return t("Classes");
    case "View":
      return t("View");
    case "Pictures":
      return t("Pictures");
    default:
      return t("Without a mouse");
  }
}

const ACTIONS = new Map(Object.values(KEYS).flat().flatMap(({ keys, action }) => keys.map((key) => [key, action])));
const ARROWS = new Map([["arrowleft", [-1, 0]], ["arrowright", [1, 0]], ["arrowup", [0, -1]], ["arrowdown", [0, 1]]]);

/**
 * What a key means: an action, a class number, a step of the cursor, or nothing.
 * @param {{key: string, code?: string, ctrlKey: boolean, metaKey: boolean, shiftKey: boolean, altKey: boolean}} event
 * @returns {{action: string} | {label: number} | {step: number[]} | null}
 */
export function meaningOf({ key, code = "", ctrlKey, metaKey, shiftKey, altKey }) {
  if (altKey) return null;
  const control = ctrlKey || metaKey;
  // on keyboards of other scripts a letter's place tells which one is meant
  const letter = /^[\x20-\x7e]$|^.{2,}$/.test(key) ? key.toLowerCase() : (/^Key(.)$/.exec(code)?.[1].toLowerCase() ?? key);
  const arrow = ARROWS.get(letter);
  if (arrow && !control) return { step: arrow.map((one) => one * (shiftKey ? 10 : 1)) };
  if (/^[0-9]$/.test(letter) && !control) return { label: Number(letter) };
  const shifted = shiftKey && /^[a-z]$/.test(letter) ? "shift+" : "";
  const action = ACTIONS.get(`${control ? "ctrl+" : ""}${shifted}${letter}`);
  if (action) return { action };
  const digit = /^Digit(.)$/.exec(code)?.[1]; // where digits are typed with Shift
  return digit && !control && !shiftKey ? { label: Number(digit) } : null;
}
