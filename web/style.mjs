/** Our style sheets, each once per page. */

/** What all of our elements share. */
export const addStyle = () => addSheet("./style.css");

/** @param {string} sheet beside this file */
export function addSheet(sheet) {
  const href = new URL(sheet, import.meta.url).href;
  if (document.querySelector(`link[href="${href}"]`)) return;
  const link = document.createElement("link");
  link.rel = "stylesheet";
  link.href = href;
  document.head.append(link);
}
