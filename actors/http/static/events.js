// What happens, newest first.
import { clock } from "./ages.js";
import { call } from "./api.js";
import { byId, element, number, setText } from "./dom.js";

const KEPT = 500;
const SHOWN = 150;
const ASK_AFTER_MS = 300; // a pause in typing
const MOST_NAMED = 100; // companies that one question may name
export const TYPES = [
  "qr", "pairing_code", "connected", "disconnected", "message", "receipt", "error", "logout", "reconnect_failed", "health_check_failed",
  "status", "restarted", "passkey_required",
];

export class Events {
  #kept = []; // newest first
  #fresh = [];
  #isPaused = false;
  #isPlanned = false;
  #seen = 0;
  #found = []; // what the daemon has of the events that fit the filter, newest first
  #question = 0;
  #timer = null;

  // companiesLike(text): the ids of companies that hold it.
  constructor(onEvent, companiesLike) {
    this.onEvent = onEvent;
    this.companiesLike = companiesLike;
    byId("events-filter").addEventListener("input", () => this.#refilter());
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
    this.#found = [];
    this.#question += 1;
    this.#redraw();
  }

  // At once with what this page has, then with what the daemon has: the page keeps the newest of all companies only.
  #refilter() {
    this.#found = [];
    this.#question += 1;
    this.#redraw();
    clearTimeout(this.#timer);
    if (this.#words().length) this.#timer = setTimeout(() => this.#ask(this.#question), ASK_AFTER_MS);
  }

  async #ask(question) {
    const query = this.#query();
    if (query === null) return;
    setText(byId("events-count"), "searching …");
    try {
      const { events } = await call("GET", `/api/whatsapp/events?${query}`);
      if (question !== this.#question) return;
      this.#found = events.reverse();
      this.#redraw();
    } catch (error) {
      if (question === this.#question) setText(byId("events-count"), error.message);
    }
  }

  // What the words mean to the daemon: types of events, else companies. Null: it has nothing that fits.
  #query() {
    const query = new URLSearchParams({ latest: "true", limit: String(SHOWN) });
    let types = null;
    let companies = null;
    for (const word of this.#words()) {
      const ofType = TYPES.filter((type) => type.includes(word));
      const named = this.companiesLike(word);
      if (ofType.length) types = types ? types.filter((type) => ofType.includes(type)) : ofType;
      else companies = companies ? companies.filter((company) => named.includes(company)) : named;
    }
    if (types?.length === 0 || companies?.length === 0) return null;
    if (types) query.set("type", types.join(","));
    if (companies) query.set("companyId", companies.slice(0, MOST_NAMED).join(","));
    return query;
  }

  #words() {
    return byId("events-filter").value.trim().toLowerCase().split(/\s+/).filter(Boolean);
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
    const text = `${event.companyId} ${event.type}`.toLowerCase();
    return this.#words().every((word) => text.includes(word));
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
    const newer = this.#found.length ? this.#kept.filter(({ seq }) => seq > this.#found[0].seq) : this.#kept;
    const wanted = [...newer, ...this.#found].filter((event) => this.#isWanted(event));
    byId("events").replaceChildren(...wanted.slice(0, SHOWN).map(item));
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
