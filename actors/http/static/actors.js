// The tree of actors: a treegrid whose rows are folded, filtered and updated one by one.
import { age, now, setMoment } from "./ages.js";
import { arrange, byId, byName, element, number, setAttribute, setState, setText, state } from "./dom.js";
import { Rows, roving } from "./rows.js";

const PAGE = 100; // children of one supervisor shown at once
const FOLDED_ABOVE = 12; // a supervisor with more children begins folded; the root never does
const MOST_FOUND = 200;
const RECENT_S = 3600; // a crash longer ago is history
const CALM = new Set(["running", "stopped"]);

const parentOf = (path) => (path === "/" ? null : path.slice(0, path.lastIndexOf("/")) || "/");
const depthOf = (path) => (path === "/" ? 1 : path.split("/").length);
const isTroubled = (row) => !CALM.has(row.state) || row.remark !== null || row.isStuck || (row.crash !== null && now() - row.crash.at < RECENT_S);

export class Actors {
  #drawn = new Map();
  #children = new Map();
  #isOpen = new Map(); // what the visitor opened or folded
  #limits = new Map();
  #found = 0;

  constructor(onOpen, onChange) {
    this.onOpen = onOpen;
    this.onChange = onChange;
    this.rows = new Rows((row) => row.path, (changed, isMoved) => this.#draw(changed, isMoved));
    this.refocus = roving(byId("tree"), "tr");
    byId("tree").addEventListener("keydown", (event) => this.#onKey(event));
    byId("tree").addEventListener("click", (event) => this.#onClick(event));
    byId("tree-filter").addEventListener("input", () => this.rows.moved());
    byId("tree-trouble").addEventListener("click", () => {
      const chip = byId("tree-trouble");
      chip.setAttribute("aria-pressed", String(chip.getAttribute("aria-pressed") !== "true"));
      this.rows.moved();
    });
  }

  get(path) { return this.rows.get(path); }

  #draw(changed, isMoved) {
    if (isMoved) this.#index();
    const wanted = this.#isFiltered ? this.#matching() : this.#unfolded();
    for (const name of this.#drawn.keys()) if (!this.rows.has(name)) this.#drawn.delete(name);
    arrange(byId("tree"), wanted.map((found) => (found.more ? this.#moreRow(found) : this.#rowOf(found, changed))));
    const { total, size } = this.rows;
    const cut = total > size ? `, the first ${number(size)} are shown` : "";
    setText(byId("tree-count"), total === null ? "" : `${number(total)} actors and supervisors${cut}`);
    byId("tree-empty").hidden = wanted.length > 0 || total === null;
    setText(byId("tree-empty"), "No actor fits the filter.");
    this.refocus();
    for (const name of changed) this.onChange(name, this.rows.get(name));
  }

  #index() {
    this.#children = new Map();
    for (const path of this.rows.names) {
      const parent = parentOf(path);
      if (parent === null) continue;
      if (!this.#children.has(parent)) this.#children.set(parent, []);
      this.#children.get(parent).push(path);
    }
    // The fixed tree stays in the order in which it starts; what comes and goes is found by name.
    for (const parent of ["/companies", "/engines"]) this.#children.get(parent)?.sort(byName);
  }

  get #isFiltered() {
    return byId("tree-filter").value.trim() !== "" || byId("tree-trouble").getAttribute("aria-pressed") === "true";
  }

  #matching() {
    const text = byId("tree-filter").value.trim().toLowerCase();
    const onlyTrouble = byId("tree-trouble").getAttribute("aria-pressed") === "true";
    const shown = new Set();
    this.#found = 0;
    for (const row of this.rows.values()) {
      if (this.#found >= MOST_FOUND) break;
      if ((text && !row.path.toLowerCase().includes(text)) || (onlyTrouble && !isTroubled(row))) continue;
      this.#found += 1;
      for (let path = row.path; path !== null && !shown.has(path); path = parentOf(path)) shown.add(path);
    }
    return this.#walk((path) => (this.#children.get(path) ?? []).filter((child) => shown.has(child)), () => shown.size > 0);
  }

  #unfolded() {
    return this.#walk((path) => (this.isUnfolded(path) ? this.#children.get(path) ?? [] : []), () => true);
  }

  #walk(childrenOf, isThere) {
    const found = [];
    const visit = (path, position, siblings) => {
      found.push({ path, position, siblings });
      const children = childrenOf(path);
      const limit = this.#isFiltered ? Infinity : this.#limits.get(path) ?? PAGE;
      children.slice(0, limit).forEach((child, index) => visit(child, index + 1, children.length));
      if (children.length > limit) found.push({ more: path, rest: children.length - limit });
    };
    if (this.rows.has("/") && isThere()) visit("/", 1, 1);
    return found;
  }

  isUnfolded(path) {
    return this.#isOpen.get(path) ?? (path === "/" || (this.#children.get(path)?.length ?? 0) <= FOLDED_ABOVE);
  }

  #fold(path, isOpen) {
    if (!this.#children.has(path)) return;
    this.#isOpen.set(path, isOpen);
    this.rows.moved();
  }

  #rowOf({ path, position, siblings }, changed) {
    let parts = this.#drawn.get(path);
    const isNew = !parts;
    if (isNew) this.#drawn.set(path, parts = this.#make(path));
    const children = this.#children.get(path)?.length ?? 0;
    const isUnfolded = children > 0 && (this.#isFiltered || this.isUnfolded(path));
    if (children) setAttribute(parts.row, "aria-expanded", isUnfolded);
    else parts.row.removeAttribute("aria-expanded");
    setAttribute(parts.row, "aria-posinset", position);
    setAttribute(parts.row, "aria-setsize", siblings);
    setText(parts.fold, children ? (isUnfolded ? "▾" : "▸") : "");
    setText(parts.inside, children && !isUnfolded ? this.#inside(path) : "");
    if (isNew || changed.has(path) || parts.data !== this.rows.get(path)) this.#fill(parts, this.rows.get(path));
    return parts.row;
  }

  #inside(path) {
    const children = this.#children.get(path);
    const troubled = children.filter((child) => isTroubled(this.rows.get(child))).length;
    return `${number(children.length)} inside${troubled ? `, ${number(troubled)} with trouble` : ""}`;
  }

  #make(path) {
    const parts = {
      row: element("tr"), fold: element("span", "", "fold"), inside: element("span", "", "inside"), state: state("running"), waits: element("span", "", "under narrow"),
      depth: element("span"), meter: element("meter"), waiting: element("span", undefined, "oldest"), oldest: age(null, "", "just now"), handled: element("td", "", "medium number"),
      restarts: element("td", "", "number last"), crash: element("td", "", "wide crash"),
    };
    const depth = depthOf(path);
    parts.row.dataset.path = path;
    parts.row.tabIndex = -1;
    parts.row.setAttribute("aria-level", depth);
    parts.fold.setAttribute("aria-hidden", "true");
    parts.meter.setAttribute("aria-hidden", "true");
    const name = element("span", path === "/" ? "/" : path.slice(path.lastIndexOf("/") + 1), "name");
    const first = element("th", undefined, `level-${Math.min(depth, 6)}`);
    first.scope = "row";
    first.append(parts.fold, name, parts.inside);
    const second = element("td");
    second.append(parts.state, parts.waits);
    const third = element("td", undefined, "mailbox");
    parts.waiting.append(" waiting, the oldest for ", parts.oldest);
    third.append(parts.depth, parts.meter, parts.waiting);
    parts.row.append(first, second, third, parts.handled, parts.restarts, parts.crash);
    return parts;
  }

  #fill(parts, row) {
    parts.data = row;
    const busy = row.currentMessage ? `busy with ${row.currentMessage}` : "";
    setState(parts.state, row.remark ?? row.state, row.isStuck ? "stuck" : busy);
    const isActor = row.kind === "actor";
    setText(parts.waits, row.mailboxDepth ? `${number(row.mailboxDepth)} waiting` : "");
    setText(parts.depth, isActor ? number(row.mailboxDepth) : "");
    parts.meter.hidden = row.mailboxDepth < row.mailboxCapacity / 100;
    parts.meter.max = row.mailboxCapacity || 1;
    parts.meter.high = 0.5 * parts.meter.max;
    parts.meter.value = row.mailboxDepth;
    setMoment(parts.oldest, row.oldestAt);
    parts.waiting.hidden = row.oldestAt === null;
    setText(parts.handled, isActor ? number(row.handled) : "");
    setText(parts.restarts, row.restarts ? number(row.restarts) : "–");
    parts.restarts.classList.toggle("some", row.restarts > 0);
    const crash = row.crash;
    setText(parts.crash, crash ? `${crash.type}: ${crash.text}` : "");
  }

  #moreRow({ more, rest }) {
    const name = `more ${more}`;
    let parts = this.#drawn.get(name);
    if (!parts) {
      const row = element("tr", undefined, "more");
      row.dataset.more = more;
      row.tabIndex = -1;
      const cell = element("td", "", `level-${Math.min(depthOf(more) + 1, 6)}`);
      cell.colSpan = 6;
      row.append(cell);
      parts = { row, cell };
    }
    setText(parts.cell, `Show ${Math.min(PAGE, rest)} more of ${number(rest)}`);
    setAttribute(parts.row, "aria-level", depthOf(more) + 1);
    return parts.row;
  }

  #showMore(path) {
    this.#limits.set(path, (this.#limits.get(path) ?? PAGE) + PAGE);
    this.rows.moved();
  }

  #act(row) {
    if (row.dataset.more) this.#showMore(row.dataset.more);
    else this.onOpen(row.dataset.path);
  }

  #onClick(event) {
    const row = event.target.closest("tr");
    if (!row) return;
    if (event.target.closest(".fold")?.textContent) this.#fold(row.dataset.path, !this.isUnfolded(row.dataset.path));
    else this.#act(row);
  }

  #onKey(event) {
    const row = event.target.closest("tr");
    if (!row || event.altKey || event.ctrlKey || event.metaKey) return;
    const path = row.dataset.path;
    const isOpen = row.getAttribute("aria-expanded");
    if (event.key === "Enter" || event.key === " ") this.#act(row);
    else if (event.key === "ArrowRight" && isOpen === "false") this.#fold(path, true);
    else if (event.key === "ArrowLeft" && isOpen === "true" && !this.#isFiltered) this.#fold(path, false);
    else if (event.key === "ArrowLeft") this.#drawn.get(parentOf(path ?? row.dataset.more))?.row.focus();
    else return;
    event.preventDefault();
  }
}
