// One actor: its counters, its last crash, and what an operator can do to it.
import { age, clock } from "./ages.js";
import { call } from "./api.js";
import { confirm, notice, open } from "./dialogs.js";
import { button, byId, definition, element, number, setText, state } from "./dom.js";

const DONE = { kill: "killed", restart: "restarted", suspend: "suspended", resume: "resumed" };
const WORDS = { kill: "Kill", restart: "Restart", suspend: "Suspend", resume: "Resume" };

const ASKS = {
  kill: (kind) => kind === "actor"
    ? "It crashes now, whatever it is doing; the message in hand is lost to its sender. Its supervisor restarts it."
    : "Everything below it crashes now. The supervisor above restarts it.",
  restart: () => "It stops in order and is started again.",
  suspend: () => "It takes no message until it is resumed or restarted. Mail waits in its mailbox; those who ask may time out.",
};

export class ActorDialog {
  #path = null;
  #kind = "actor";
  #asked = 0;

  constructor() {
    byId("actor-dialog").addEventListener("close", () => { this.#path = null; });
  }

  show(path, row) {
    this.#path = path;
    byId("actor-title").textContent = path;
    byId("actor-problem").textContent = "";
    byId("actor-body").replaceChildren();
    this.#actions(row);
    this.update(path, row);
    open("actor-dialog");
  }

  // The row tells that something changed; what is shown is asked for, since only that has the traceback.
  async update(path, row) {
    if (path !== this.#path) return;
    if (!row) { byId("actor-body").replaceChildren(element("p", "This actor is gone.", "empty")); return; }
    this.#setActions(row);
    const asked = (this.#asked += 1);
    try {
      const { actor } = await call("GET", `/admin/actors${path}`);
      if (path === this.#path && asked === this.#asked) this.#fill(actor);
    } catch (error) {
      if (path === this.#path) byId("actor-problem").textContent = error.message;
    }
  }

  #fill(actor) {
    const list = element("dl", undefined, "details");
    const say = (name, value, className) => list.append(definition(name, value, className));
    say("State", state(actor.isStuck ? "stuck" : actor.state));
    say("Since", age(actor.since));
    say("Restarts", actor.restarts ? `${number(actor.restarts)}, ${number(actor.restartsInWindow)} of them in the window that counts` : "none");
    if (actor.kind === "actor") {
      say("Mailbox", `${number(actor.mailboxDepth)} of ${number(actor.mailboxCapacity)}`);
      if (actor.oldestMessageAgeS !== null) say("Oldest message", `waits for ${actor.oldestMessageAgeS.toFixed(1)} s`);
      say("Handled", `${number(actor.processed)} in ${actor.handlerS.toFixed(2)} s, ${number(actor.refused)} refused, ${number(actor.dropped)} dropped`);
      if (actor.currentMessage) say("In hand", `${actor.currentMessage} for ${actor.currentMessageS.toFixed(1)} s`);
      say("Recent messages", actor.recentMessages.length ? actor.recentMessages.slice(-8).join(", ") : "none");
    } else say("Children", number(actor.children.length));
    const parts = [list];
    if (actor.lastCrash) parts.push(...crash(actor.lastCrash));
    const isOpen = byId("actor-body").querySelector("details")?.open ?? false;
    byId("actor-body").replaceChildren(...parts);
    const details = byId("actor-body").querySelector("details");
    if (details) details.open = isOpen;
  }

  #actions(row) {
    const order = (word, className) => {
      const made = button(WORDS[word], () => this.#order(made.dataset.order), className);
      made.dataset.order = word;
      return made;
    };
    this.#kind = row?.kind ?? "actor";
    const actions = this.#kind === "actor" ? [order("suspend"), order("restart"), order("kill", "danger")] : [order("restart"), order("kill", "danger")];
    byId("actor-actions").replaceChildren(...(this.#path === "/" ? [] : actions));
  }

  // Suspend and resume are one button, so that the focus stays on it when one becomes the other.
  #setActions(row) {
    const toggle = byId("actor-actions").querySelector("[data-order=suspend], [data-order=resume]");
    if (!toggle) return;
    const word = row.state === "suspended" ? "resume" : "suspend";
    toggle.dataset.order = word;
    setText(toggle, WORDS[word]);
  }

  async #order(word) {
    const path = this.#path;
    if (ASKS[word] && !(await confirm(`${WORDS[word]} ${path}?`, ASKS[word](this.#kind), WORDS[word]))) return;
    byId("actor-problem").textContent = "";
    try {
      const { actor } = await call("POST", `/admin/actors${path}/${word}`);
      notice(`${path} was ${DONE[word]}.`);
      if (path === this.#path) { this.#setActions(actor); this.#fill(actor); }
    } catch (error) {
      byId("actor-problem").textContent = error.message;
    }
  }
}

function crash(report) {
  const title = element("h3", "Last crash");
  const when = element("p", undefined, "under");
  when.append(`at ${clock(report.at)}`);
  if (report.messageType) when.append(`, while it handled ${report.messageType}${report.caller ? ` for ${report.caller}` : ""}`);
  const parts = [title, element("p", `${report.type}: ${report.text}`, "crash-text"), when];
  if (report.traceback) {
    const details = element("details");
    details.append(element("summary", "Traceback"), element("pre", report.traceback));
    parts.push(details);
  }
  return parts;
}
