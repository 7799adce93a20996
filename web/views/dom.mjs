/** Small parts of which panels are made. */
import { t, whole } from "../words/text.mjs";

/**
 * An element with attributes, listeners (`onclick` …) and children; an attribute that is false or undefined is left out.
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag @param {Record<string, any>} [attributes] @param {(Node | string)[]} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function html(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== false && value !== undefined) element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children);
  return element;
}

/** @param {string} text @param {string} label what it does @param {() => void} action @param {Record<string, any>} [more] */
export const button = (text, label, action, more) => html("button", { type: "button", title: label, "aria-label": label, onclick: action, ...more }, text);

/** A button that stays down. @param {string} text @param {string} label @param {boolean} on @param {(on: boolean) => void} action */
export function toggle(text, label, on, action) {
  const element = html("button", { type: "button", title: label, "aria-pressed": String(on) }, text);
  element.addEventListener("click", () => {
    const now = element.getAttribute("aria-pressed") !== "true";
    element.setAttribute("aria-pressed", String(now));
    action(now);
  });
  return element;
}

/** @param {string} label @param {[value: string, text: string][]} choices @param {(value: string) => void} action */
export function choice(label, choices, action) {
  const element = html("select", { "aria-label": label, title: label, onchange: () => action(element.value) });
  element.append(...choices.map(([value, text]) => html("option", { value }, text)));
  return element;
}

/** How strongly masks lie over their picture. @param {(opacity: number) => void} action */
export function opacitySlider(action) {
  const label = t("Opacity of masks");
  const element = html("input", { type: "range", min: 0, max: 100, step: 5, value: 55, "aria-label": label, title: label });
  element.addEventListener("input", () => action(Number(element.value) / 100));
  return element;
}

/**
 * What keys do inside an element; those named here go no further, or the canvas would take them.
 * @param {HTMLElement} element @param {Record<string, () => unknown>} table key → action; one that returns false did not want the key
 */
export function onKeys(element, table) {
  element.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const action = table[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!action || action() === false) return;
    event.preventDefault();
    event.stopPropagation();
  });
}

/**
 * The arrows go from one element to the next, and only one of them is reached by Tab.
 * @param {HTMLElement} container @param {() => HTMLElement[]} list @param {() => number} columns in how many columns they stand
 */
export function arrows(container, list, columns) {
  const focus = (/** @type {number} */ index) => {
    const elements = list();
    if (!elements[index]) return false;
    elements.forEach((element, number) => (element.tabIndex = number === index ? 0 : -1));
    elements[index].focus({ preventScroll: false });
    return true;
  };
  const step = (/** @type {number} */ by) => {
    const from = list().indexOf(/** @type {HTMLElement} */ (document.activeElement));
    return from >= 0 && focus(from + by);
  };
  onKeys(container, {
    ArrowRight: () => step(1),
    ArrowLeft: () => step(-1),
    ArrowDown: () => step(columns()),
    ArrowUp: () => step(-columns()),
    Home: () => focus(0),
    End: () => focus(list().length - 1),
  });
}

/** How much of something there is. @param {string} unit pixels or samples @param {number} count */
export function amountWords(unit, count) {
  const values = { count, shown: whole(count) };
  return unit === "pixels" ? t("{shown} pixel|{shown} pixels", values) : t("{shown} sample|{shown} samples", values);
}

/** A share for people, with as many digits as tell it from none and from all. @param {number} share */
export function percent(share) {
  const value = 100 * share;
  const shown = value > 99 ? 100 - Number((100 - value).toPrecision(2)) : Number(value.toPrecision(3));
  return `${Number(shown.toFixed(7))} %`;
}

/** Put text where paste finds it, also where the page is not served securely. @param {string} text @param {HTMLElement} near */
export async function copy(text, near) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = html("textarea", { class: "visionsmith-announcer", "aria-hidden": "true" });
    area.value = text;
    near.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}
