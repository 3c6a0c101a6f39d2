// How long ago something was. The daemon sends moments; this page counts, by the daemon's clock.
import { element, setText } from "./dom.js";

let skew = 0;

export function setClock(daemonSeconds) {
  skew = daemonSeconds - Date.now() / 1000;
}

export const now = () => Date.now() / 1000 + skew;

export function span(seconds) {
  if (seconds < 100) return `${Math.floor(seconds)} s`;
  if (seconds < 6000) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} d`;
}

const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });

export function clock(moment) {
  const date = new Date((moment - skew) * 1000);
  return now() - moment < 43200 ? date.toLocaleTimeString("en-GB") : DAY.format(date).replace(",", "");
}

// An element that goes on counting for as long as it is in the page.
export function age(moment, empty = "–", atFirst = "now") {
  const made = element("time", undefined, "age");
  made.dataset.empty = empty;
  made.dataset.atFirst = atFirst;
  setMoment(made, moment);
  return made;
}

export function setMoment(node, moment) {
  const text = moment === null || moment === undefined ? "" : String(moment);
  if (node.dataset.at === text) return;
  node.dataset.at = text;
  if (text) node.title = new Date((moment - skew) * 1000).toLocaleString("en-GB");
  else node.removeAttribute("title");
  count(node);
}

function count(node) {
  const at = node.dataset.at;
  const seconds = now() - Number(at);
  setText(node, !at ? node.dataset.empty : seconds < 1 ? node.dataset.atFirst : span(seconds));
}

setInterval(() => document.querySelectorAll("time.age").forEach(count), 1000);
