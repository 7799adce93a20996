/** Our style sheets, each once per page. */

/** @param {string} [file] below this folder */
export function addStyle(file = "style.css") {
  const href = new URL(`./${file}`, import.meta.url).href;
  if (document.querySelector(`link[href="${href}"]`)) return;
  document.head.append(Object.assign(document.createElement("link"), { rel: "stylesheet", href }));
}
