/** What we say to a person outside of nodes: a line with buttons that waits, and a list to read. */

import { copy } from "./views/dom.mjs";
import { t } from "./words/text.mjs";

/** @typedef {{label: string, main?: boolean, action: () => void}} Action */

/** @param {Action} action @param {() => void} close */
function actionButton({ label, main, action }, close) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = label;
  if (main) button.className = "visionsmith-main";
  button.addEventListener("click", () => {
    close();
    action();
  });
  return button;
}

/**
 * A line above the canvas that stays until one of its buttons is pressed, or until it is taken away.
 * @param {string} text @param {Action[]} actions @returns {() => void} takes it away
 */
export function showNotice(text, actions) {
  const box = document.createElement("div");
  box.className = "visionsmith-notice";
  box.setAttribute("role", "region");
  box.setAttribute("aria-label", "Visionsmith");
  const words = document.createElement("span");
  words.setAttribute("role", "status");
  words.textContent = text;
  const close = () => box.remove();
  box.append(words, ...actions.map((action) => actionButton(action, close)));
  document.body.append(box);
  return close;
}

/** A dialog with a list of sentences, which can be copied. @param {string} title @param {string[]} notes */
export function showNotes(title, notes) {
  const dialog = document.createElement("dialog");
  dialog.className = "visionsmith-dialog visionsmith-notes";
  const heading = document.createElement("h2");
  heading.id = "visionsmith-notes-title";
  heading.textContent = title;
  dialog.setAttribute("aria-labelledby", heading.id);
  const introduction = document.createElement("p");
  introduction.textContent = notes.length ? t("What had to be decided; check these:") : t("Nothing had to be decided.");
  const list = document.createElement("ul");
  for (const note of notes) list.append(Object.assign(document.createElement("li"), { textContent: note }));
  const actions = document.createElement("div");
  actions.className = "visionsmith-actions";
  const button = Object.assign(document.createElement("button"), { type: "button", textContent: t("Copy the list") });
  button.addEventListener("click", async () => {
    if (await copy(notes.map((note) => `- ${note}`).join("\n"), dialog)) button.textContent = t("Copied");
  });
  actions.append(button, actionButton({ label: t("Close"), main: true, action: () => {} }, () => dialog.close()));
  dialog.append(heading, introduction, list, actions);
  dialog.addEventListener("keydown", (event) => event.stopPropagation());
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
