// Dialogs: the browser's own keep the focus inside, close with Escape and give the focus back.
import { byId } from "./dom.js";

export function open(id) {
  const dialog = byId(id);
  if (!dialog.open) dialog.showModal();
  return dialog;
}

export function prepare() {
  for (const dialog of document.querySelectorAll("dialog.sheet")) {
    dialog.querySelector(".close").addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => document.body.append(byId("notice")));
    // A click beside the sheet meets the dialog itself, which its content covers everywhere else.
    dialog.addEventListener("mousedown", (event) => { if (event.target === dialog) dialog.close(); });
  }
}

// Resolves to whether the answer was yes. Cancel has the focus: a key held down a moment too long does no harm.
export function confirm(title, text, word) {
  byId("confirm-title").textContent = title;
  byId("confirm-text").textContent = text;
  byId("confirm-yes").textContent = word;
  const dialog = byId("confirm-dialog");
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

let timer = null;

export function notice(text, isProblem = false) {
  clearTimeout(timer);
  // What is outside of an open dialog can be neither seen well nor read aloud.
  (document.querySelector("dialog.sheet[open]") ?? document.body).append(byId("notice"));
  byId("notice-text").textContent = text;
  byId("notice").className = isProblem ? "notice problem" : "notice";
  byId("notice").hidden = !text;
  if (text && !isProblem) timer = setTimeout(() => { byId("notice").hidden = true; }, 6000);
}
