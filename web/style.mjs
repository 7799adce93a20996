/** Our style sheets, each once per page. */

/** @param {string} file beside this one */
export function addStyle(file = "style.css") {
  const href = new URL(`./${file}`, import.meta.url).href;
  if (document.querySelector(`link[href="${href}"]`)) return;
  const link = document.createElement("link");
  link.rel = "stylesheet";
  link.href = href;
  document.head.append(link);
}
