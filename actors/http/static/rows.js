// Rows by name, fed by differences; drawn at most once a frame, and only what changed.

export class Rows {
  #data = new Map();
  #dirty = new Set();
  #isPlanned = false;
  #isMoved = false;

  // draw(changed, isMoved): `changed` names whose data changed; `isMoved` when there may be other rows than before.
  constructor(nameOf, draw) {
    this.nameOf = nameOf;
    this.draw = draw;
    this.total = null;
  }

  get(name) { return this.#data.get(name); }
  has(name) { return this.#data.has(name); }
  get names() { return this.#data.keys(); }
  get size() { return this.#data.size; }
  values() { return this.#data.values(); }

  apply({ isWhole, rows, gone, total }) {
    if (isWhole) this.clear();
    for (const name of gone) this.#data.delete(name);
    for (const row of rows) {
      const name = this.nameOf(row);
      if (!this.#data.has(name)) this.#isMoved = true;
      this.#data.set(name, row);
      this.#dirty.add(name);
    }
    this.#isMoved ||= gone.length > 0;
    this.total = total;
    this.plan();
  }

  clear() {
    this.#data.clear();
    this.total = null;
    this.#isMoved = true;
    this.plan();
  }

  // A filter or what is folded has changed.
  moved() {
    this.#isMoved = true;
    this.plan();
  }

  plan() {
    if (this.#isPlanned) return;
    this.#isPlanned = true;
    requestAnimationFrame(() => {
      this.#isPlanned = false;
      const dirty = this.#dirty;
      const isMoved = this.#isMoved;
      this.#dirty = new Set();
      this.#isMoved = false;
      this.draw(dirty, isMoved);
    });
  }
}

// One stop for the Tab key in a long list; arrows, Home and End move inside it. Returns what to call after a redraw.
export function roving(holder, selector) {
  const stops = () => [...holder.querySelectorAll(selector)];
  const choose = (chosen) => {
    for (const stop of stops()) stop.tabIndex = stop === chosen ? 0 : -1;
  };
  holder.addEventListener("focusin", (event) => {
    const stop = event.target.closest(selector);
    if (stop) choose(stop);
  });
  holder.addEventListener("keydown", (event) => {
    const all = stops();
    const at = all.indexOf(document.activeElement);
    if (at < 0) return;
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: all.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    all[Math.max(0, Math.min(all.length - 1, to))].focus();
  });
  return () => {
    const all = stops();
    if (all.length && !all.some((stop) => stop.tabIndex === 0)) choose(all[0]);
  };
}
