/**
 * What we say, in the person's language: the English sentence in the source is the key. Sentences of other languages are in
 * locales/LANGUAGE/main.json under "visionsmith"; what is not there, and everything until they are here, is English.
 */

const CATEGORIES = ["one", "few", "many"];

let language = "en";
/** English → what the language says. @type {Record<string, unknown>} */
let sentences = {};
let rules = new Intl.PluralRules("en");
let digits = new Intl.NumberFormat("en"); // toLocaleString makes a new one for each number

/**
 * Speak a language from now on.
 * @param {string} name such as "uk"; English where nobody knows it @param {Record<string, unknown>} [texts] English → what it says
 */
export function speak(name, texts = {}) {
  try {
    [rules, digits] = [new Intl.PluralRules(name), new Intl.NumberFormat(name)];
    [language, sentences] = [name, texts];
  } catch {
    if (name !== "en") speak("en"); // no name of a language
  }
}

/** The language that is spoken. */
export const spoken = () => language;

/**
 * A sentence of ours, in the person's language. Its English must stand in the call itself, where docs/locales.py looks for it.
 *
 * `{name}` is where a value goes. Where the words depend on how many there are, `count` says how many, and the forms stand side by side:
 * "{count} point|{count} points"; a language has as many as it has for whole numbers, in the order one, few, many.
 * @param {string} english @param {Record<string, string | number>} [values]
 */
export function t(english, values = {}) {
  const known = Object.hasOwn(sentences, english) ? sentences[english] : "";
  return known && typeof known === "string" ? filled(known, values, rules) : filled(english, values, ENGLISH);
}

const ENGLISH = new Intl.PluralRules("en");

/** @param {string} text @param {Record<string, string | number>} values @param {Intl.PluralRules} plural */
function filled(text, values, plural) {
  const form = typeof values.count === "number" ? formOf(text.split("|"), plural.select(values.count)) : text;
  return form.replace(/\{(\w+)\}/g, (place, name) => String(values[name] ?? place));
}

/** @param {string[]} forms @param {string} category */
function formOf(forms, category) {
  const index = CATEGORIES.indexOf(category);
  return forms[index < 0 ? forms.length - 1 : Math.min(index, forms.length - 1)];
}

/** A whole number with its thousands parted, as the language does it. @param {number} count */
export const whole = (count) => digits.format(count);
