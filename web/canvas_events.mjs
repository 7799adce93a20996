/** Events over an element of ours that are meant for the canvas below, which has none of its own there. */
import { app } from "../../scripts/app.js";

const POINTER = { pointerdown: "processMouseDown", pointermove: "processMouseMove", pointerup: "processMouseUp" };

/** @param {Event} event @param {string} method */
function toCanvas(event, method) {
  if (!window.LiteGraph?.vueNodesMode) app.canvas[method]?.(event); // Vue's nodes do it by themselves
}

/**
 * The wheel zooms the canvas, and the middle button moves it, over `element` as beside it.
 * @param {HTMLElement} element @param {(target: HTMLElement) => boolean} [keepsWheel] whether the wheel does something of its own there
 */
export function passOn(element, keepsWheel = () => false) {
  element.addEventListener("wheel", (event) => keepsWheel(/** @type {HTMLElement} */ (event.target)) || toCanvas(event, "processMouseWheel"));
  for (const [type, method] of Object.entries(POINTER)) {
    element.addEventListener(type, (event) => {
      const { button, buttons } = /** @type {PointerEvent} */ (event);
      if (type === "pointermove" ? buttons & 4 : button === 1) toCanvas(event, method);
    });
  }
}
