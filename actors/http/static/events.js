// What happens, newest first.
import { clock } from "./ages.js";
import { byId, element, number, setText } from "./dom.js";

const KEPT = 500;
const SHOWN = 150;

export class Events {
  #kept = []; // newest first
  #fresh = [];
  #isPaused = false;
  #isPlanned = false;
  #seen = 0;

  constructor(onEvent) {
    this.onEvent = onEvent;
    byId("events-filter").addEventListener("input", () => this.#redraw());
    byId("events-pause").addEventListener("click", () => this.#pause());
  }

  add(event) {
    if (event.seq <= this.#seen) return; // told again after a reconnection
    this.#seen = event.seq;
    this.#fresh.push(event);
    if (this.#fresh.length > KEPT) this.#fresh.shift();
    this.onEvent(event);
    this.#plan();
  }

  showLog(isAvailable) {
    byId("events-state").hidden = isAvailable;
    setText(byId("events-state"), isAvailable ? "" : "The event log is away. Events wait and appear once it is back.");
  }

  clear() {
    this.#kept = [];
    this.#fresh = [];
    this.#seen = 0;
    this.#redraw();
  }

  #plan() {
    if (this.#isPlanned) return;
    this.#isPlanned = true;
    requestAnimationFrame(() => { this.#isPlanned = false; this.#draw(); });
  }

  #pause() {
    this.#isPaused = !this.#isPaused;
    byId("events-pause").setAttribute("aria-pressed", String(this.#isPaused));
    byId("events-pause").textContent = this.#isPaused ? "Go on" : "Pause";
    this.#draw();
  }

  #isWanted(event) {
    const text = byId("events-filter").value.trim().toLowerCase();
    return !text || `${event.companyId} ${event.type}`.toLowerCase().includes(text);
  }

  #draw() {
    const list = byId("events");
    if (this.#isPaused) {
      setText(byId("events-count"), this.#fresh.length ? `${number(this.#fresh.length)} waiting` : "paused");
      return;
    }
    setText(byId("events-count"), "");
    for (const event of this.#fresh) {
      this.#kept.unshift(event);
      if (this.#isWanted(event)) list.prepend(item(event));
    }
    this.#fresh = [];
    this.#kept.length = Math.min(this.#kept.length, KEPT);
    while (list.childElementCount > SHOWN) list.lastElementChild.remove();
    byId("events-empty").hidden = list.childElementCount > 0;
    setText(byId("events-empty"), this.#kept.length ? "No event fits the filter." : "No events yet. They appear here as they happen.");
  }

  #redraw() {
    byId("events").replaceChildren(...this.#kept.filter((event) => this.#isWanted(event)).slice(0, SHOWN).map(item));
    this.#draw();
  }
}

function item(event) {
  const made = element("li");
  made.dataset.seq = event.seq;
  const details = element("details");
  const summary = element("summary");
  const line = element("span", told(event), "told");
  summary.append(element("time", clock(event.timestamp)), element("b", event.companyId), element("span", event.type.replaceAll("_", " "), `kind ${toneOf(event)}`), line);
  details.append(summary);
  // Built when it is looked at: most never are.
  details.addEventListener("toggle", () => {
    if (details.open && details.childElementCount === 1) {
      details.append(element("pre", JSON.stringify({ seq: event.seq, ...event.payload }, null, 1)));
    }
  });
  made.append(details);
  return made;
}

const BAD = new Set(["error", "logout", "reconnect_failed", "health_check_failed"]);
const WAITING = new Set(["disconnected", "restarted", "qr", "pairing_code"]);

function toneOf(event) {
  if (BAD.has(event.type)) return "bad";
  if (WAITING.has(event.type)) return "wait";
  return event.type === "connected" ? "good" : "";
}

function told({ type, payload }) {
  switch (type) {
    case "status": return `${payload.previous ?? ""} → ${payload.status}${payload.reason ? `: ${payload.reason}` : ""}`.trim();
    case "restarted": return `${payload.reason ?? ""} (${payload.restarts ?? "?"} in all)`;
    case "message": return `${payload.kind ?? "message"}${payload.chat?.kind ? ` in a ${payload.chat.kind} chat` : ""}`;
    case "error": return `${payload.code ?? ""}`;
    case "qr": return "a QR code is on offer";
    case "pairing_code": return "a pairing code is on offer";
    default: return payload.reason ?? "";
  }
}
