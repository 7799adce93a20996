/** Our style sheet, once per page. */

const SHEET = new URL("./style.css", import.meta.url).href;

export function addStyle() {
  if (document.querySelector(`link[href="${SHEET}"]`)) return;
  const link = document.createElement("link");
  link.rel = "stylesheet";
  link.href = SHEET;
  document.head.append(link);
}
