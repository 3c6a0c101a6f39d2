// The table of companies.
import { age, setMoment } from "./ages.js";
import { arrange, button, byId, byName, element, number, setAttribute, setState, setText, state } from "./dom.js";
import { Rows, roving } from "./rows.js";

const FIRST = 25; // few enough that the tree below stays in reach
const PAGE = 100;
const ORDER = [
  "connected", "pairing", "passkey", "connecting", "reconnecting", "suspended", "conflict", "elsewhere",
  "logged_out", "banned", "outdated", "failed", "unlinked", "stopped",
];

const AT_REST = new Set(["stopped", "unlinked", "elsewhere"]);

function rankOf(row) {
  if (!row) return 9;
  if (AT_REST.has(row.status)) return 2;
  return row.status === "connected" && row.answers !== false && row.health !== "unhealthy" ? 1 : 0;
}

export class Sessions {
  #drawn = new Map();
  #chips = new Map();
  #sorted = [];
  #ranks = new Map();
  #state = null;
  #limit = FIRST;

  constructor(onOpen, onChange) {
    this.onOpen = onOpen;
    this.onChange = onChange;
    this.rows = new Rows((row) => row.companyId, (changed, isMoved) => this.#draw(changed, isMoved));
    this.refocus = roving(byId("sessions"), "button.open");
    byId("sessions").addEventListener("click", (event) => this.#onClick(event));
    byId("sessions-filter").addEventListener("input", () => { this.#limit = FIRST; this.rows.moved(); });
    byId("sessions-more").addEventListener("click", () => { this.#limit += PAGE; this.rows.moved(); });
  }

  get(company) { return this.rows.get(company); }

  // The whole row opens the company, unless a text in it was just selected. Its button does the same for the keyboard.
  #onClick(event) {
    const row = event.target.closest("tr");
    if (row && !event.target.closest("button") && getSelection().isCollapsed) this.onOpen(row.dataset.company);
  }

  // The ids of companies that hold this text.
  like(text) { return [...this.rows.names].filter((name) => name.toLowerCase().includes(text)); }

  #draw(changed, isMoved) {
    if (isMoved || [...changed].some((name) => this.#ranks.get(name) !== rankOf(this.rows.get(name)))) this.#sort();
    this.#showCounts();
    const wanted = this.#sorted.filter((name) => this.#isWanted(this.rows.get(name)));
    const shown = wanted.slice(0, this.#limit);
    for (const name of this.#drawn.keys()) if (!this.rows.has(name)) this.#drawn.delete(name);
    arrange(byId("sessions"), shown.map((name) => this.#rowOf(name, changed)));
    this.#showRest(wanted.length - shown.length);
    this.#showEmpty(wanted.length);
    this.refocus();
    for (const name of changed) this.onChange(name, this.rows.get(name));
  }

  // Those that need a look come first; a row moves only when its state makes it.
  #sort() {
    this.#ranks = new Map([...this.rows.names].map((name) => [name, rankOf(this.rows.get(name))]));
    this.#sorted = [...this.#ranks.keys()].sort((a, b) => this.#ranks.get(a) - this.#ranks.get(b) || byName(a, b));
  }

  #isWanted(row) {
    if (this.#state && row.status !== this.#state) return false;
    const text = byId("sessions-filter").value.trim().toLowerCase();
    return !text || `${row.companyId} ${row.phoneNumber ?? ""} ${row.reason ?? ""}`.toLowerCase().includes(text);
  }

  #rowOf(name, changed) {
    let parts = this.#drawn.get(name);
    const isNew = !parts;
    if (isNew) this.#drawn.set(name, parts = this.#make(name));
    if (isNew || changed.has(name) || parts.data !== this.rows.get(name)) this.#fill(parts, this.rows.get(name));
    return parts.row;
  }

  #make(name) {
    const parts = {
      row: element("tr"), state: state("stopped"), reason: element("span", "", "under"), since: age(null),
      answered: age(null, "never"), trip: element("span", "", "trip wide"), message: age(null), stored: age(null), restarts: element("td", "", "medium number"),
    };
    parts.row.dataset.company = name;
    const open = button(name, () => this.onOpen(name), "open");
    open.tabIndex = -1;
    open.setAttribute("aria-haspopup", "dialog");
    parts.phone = element("span", "", "phone");
    const cells = [
      ["th", "", open, parts.phone], ["td", "", parts.state, parts.reason], ["td", "medium", parts.since],
      ["td", "", parts.answered, parts.trip], ["td", "wide", parts.message], ["td", "wide", parts.stored],
    ];
    for (const [tag, className, ...content] of cells) {
      const cell = element(tag, undefined, className);
      if (tag === "th") cell.scope = "row";
      cell.append(...content);
      parts.row.append(cell);
    }
    parts.row.append(parts.restarts);
    return parts;
  }

  #fill(parts, row) {
    parts.data = row;
    const more = row.answers === false ? "does not answer" : row.health === "unhealthy" ? "unhealthy" : "";
    setState(parts.state, row.status, more);
    parts.state.classList.toggle("doubtful", more !== "");
    setText(parts.reason, row.status === "connected" ? "" : row.reason ?? "");
    setText(parts.phone, row.phoneNumber ?? "");
    setText(parts.trip, row.roundTripS === null ? "" : `in ${Math.round(row.roundTripS * 1000)} ms`);
    setMoment(parts.since, row.since);
    setMoment(parts.answered, row.roundTripAt ?? row.connectedAt);
    setMoment(parts.message, row.messageAt);
    setMoment(parts.stored, row.commitAt);
    setText(parts.restarts, row.restarts ? number(row.restarts) : "–");
  }

  #showCounts() {
    const counts = new Map();
    for (const row of this.rows.values()) counts.set(row.status, (counts.get(row.status) ?? 0) + 1);
    const states = ORDER.filter((word) => counts.has(word) || word === this.#state);
    arrange(byId("sessions-states"), states.map((word) => this.#chip(word, counts.get(word) ?? 0)));
    const { size, total } = this.rows;
    const known = total === null ? "" : `${number(total)} ${total === 1 ? "company" : "companies"}`;
    setText(byId("sessions-count"), total > size && !this.isLimited ? `${known}, the first ${number(size)} are shown` : known);
  }

  #chip(word, count) {
    let chip = this.#chips.get(word);
    if (!chip) {
      chip = button("", () => {
        this.#state = this.#state === word ? null : word;
        this.#limit = FIRST;
        this.rows.moved();
      }, "chip");
      chip.append(state(word), element("b"));
      this.#chips.set(word, chip);
    }
    setText(chip.lastChild, number(count));
    setAttribute(chip, "aria-pressed", this.#state === word);
    return chip;
  }

  #showRest(rest) {
    const more = byId("sessions-more");
    more.hidden = rest <= 0;
    if (rest > 0) setText(more, `Show ${Math.min(PAGE, rest)} more of ${number(rest)}`);
  }

  #showEmpty(count) {
    const empty = byId("sessions-empty");
    empty.hidden = count > 0 || this.rows.total === null;
    if (!empty.hidden) {
      setText(empty, this.rows.size ? "No company fits the filter." : "No companies yet. Link the first one with a QR code or a pairing code.");
    }
  }
}
