/**
 * Tooltips inside the options of a choice (DynamicCombo), taken from a language's texts in place.
 *
 * The key of such an input is CHOICE_INPUT, or CHOICE_INPUT_OPTION where options have inputs of one name that mean different things.
 *
 * @typedef {Record<string, {name?: string, tooltip?: string}>} Texts key → what a language says of an input
 */

const CHOICE = "COMFY_DYNAMICCOMBO_V3";

/** @param {Record<string, any> | undefined} groups required and optional inputs, as /object_info has them @param {Texts} texts @param {string} [before] @param {string} [option] */
export function translateOptions(groups, texts, before = "", option = "") {
  for (const group of Object.values(groups ?? {})) {
    if (!group || typeof group !== "object" || Array.isArray(group)) continue;
    for (const [name, [type, more] = []] of Object.entries(group)) {
      const key = `${before}${name}`;
      const told = texts[`${key}_${option}`] ?? texts[key];
      if (option && more && told?.tooltip) more.tooltip = told.tooltip;
      if (type !== CHOICE) continue;
      for (const one of more?.options ?? []) translateOptions(one.inputs, texts, `${key}_`, one.key);
    }
  }
}
