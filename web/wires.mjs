/**
 * One colour per type of wire, for dark and for light themes.
 *
 * Chosen so that each can be told from every other and from ComfyUI's own, also with protanopia, deuteranopia and tritanopia, and stands out
 * from what nodes and the canvas are painted with; tests/test_wire_colors.py measures it.
 *
 * @type {Record<string, {dark: string, light: string}>}
 */
export const WIRES = {
  VISIONSMITH_TENSOR: { dark: "#7869ff", light: "#4b00ff" },
  VISIONSMITH_NETWORK: { dark: "#1ed2ff", light: "#007878" },
  VISIONSMITH_DATASET: { dark: "#78a53c", light: "#4b693c" },
  VISIONSMITH_LOSS: { dark: "#f01e87", light: "#d2004b" },
  VISIONSMITH_OPTIMIZER: { dark: "#f0ff3c", light: "#a56900" },
  VISIONSMITH_TRANSFORM: { dark: "#f087a5", light: "#d23c87" },
  VISIONSMITH_RUN: { dark: "#4bff87", light: "#00003c" },
  VISIONSMITH_REPORT: { dark: "#7896f0", light: "#004b96" },
  VISIONSMITH_CONCEPTS: { dark: "#00965a", light: "#000096" },
  VISIONSMITH_SAM3: { dark: "#c35ab4", light: "#873c5a" },
  VISIONSMITH_LAMA: { dark: "#a57896", light: "#4b2d5a" },
  VISIONSMITH_STITCH: { dark: "#a5a578", light: "#5a000f" },
  VISIONSMITH_DIFFUSION: { dark: "#788700", light: "#a50f00" },
  VISIONSMITH_INVERSION: { dark: "#d296c3", light: "#2d001e" },
};

/** The style sheet for Vue's sockets; what a theme says of a type itself, on the same element, goes before. */
export function sheet() {
  const rules = (/** @type {"dark" | "light"} */ theme) =>
    Object.entries(WIRES).map(([type, colors]) => `--color-datatype-${type}: ${colors[theme]};`).join(" ");
  return `:root { ${rules("dark")} }\n:root:not(.dark-theme) { ${rules("light")} }`;
}

/**
 * Let a table of colours by type answer with ours where a theme has none; it is written anew whenever the theme changes.
 * @param {Record<string, any>} table @param {() => boolean} isLight
 */
export function fillIn(table, isLight) {
  for (const [type, { dark, light }] of Object.entries(WIRES)) {
    let own = table[type];
    Object.defineProperty(table, type, {
      configurable: true,
      enumerable: true,
      get: () => own || (isLight() ? light : dark),
      set(color) {
        own = color;
      },
    });
  }
}
