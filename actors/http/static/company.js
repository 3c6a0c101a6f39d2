// One company: what its state rests on, and what can be done.
import { age } from "./ages.js";
import { call, session } from "./api.js";
import { confirm, notice, open } from "./dialogs.js";
import { button, byId, definition, element, number, state } from "./dom.js";

const LINKABLE = new Set(["unlinked", "logged_out", "pairing", "passkey", "failed", "stopped"]);
const LOG_OUT = "WhatsApp unlinks the device and its credentials are archived. To use the company again, it has to be linked again.";
const DELETE = "The company is logged out as far as possible, its credentials are archived, and it disappears from every list. This cannot be undone here.";

export class CompanyDialog {
  #company = null;

  constructor(on) {
    this.on = on; // link(company), send(company), actor(path), isAdmin()
    byId("company-dialog").addEventListener("close", () => { this.#company = null; });
  }

  show(company, row) {
    this.#company = company;
    byId("company-title").textContent = company;
    byId("company-problem").textContent = "";
    this.#actions(row);
    this.update(company, row);
    open("company-dialog");
  }

  update(company, row) {
    if (company !== this.#company) return;
    const body = byId("company-body");
    if (!row) { body.replaceChildren(element("p", "This company is gone.", "empty")); return; }
    const list = element("dl", undefined, "details");
    list.append(definition("State", state(row.status)));
    const say = (name, value, className) => { if (value !== null && value !== "" && value !== undefined) list.append(definition(name, value, className)); };
    say("Why", row.reason);
    list.append(definition("Since", age(row.since)));
    say("Actor", row.answers === false ? "does not answer" : null, "bad");
    say("Last check", row.health);
    say("Phone", row.phoneNumber);
    list.append(definition("WhatsApp answered", answered(row)));
    list.append(definition("Last message", age(row.messageAt, "none since the actor started")));
    list.append(definition("Stored in Postgres", age(row.commitAt, "nothing since the actor started")));
    if (row.nextAttemptAt) say("Next attempt", `at ${new Date(row.nextAttemptAt * 1000).toLocaleTimeString("en-GB")}, ${row.reconnectAttempts} failed`);
    say("Engine", row.engine);
    say("Lease epoch", row.leaseEpoch);
    say("Restarts of the actor", number(row.restarts));
    body.replaceChildren(list);
    byId("company-link").hidden = !LINKABLE.has(row.status);
  }

  #actions(row) {
    const company = this.#company;
    const order = (text, word, className) => button(text, () => this.#order(company, word), className);
    const link = button("Link…", () => { byId("company-dialog").close(); this.on.link(company); }, "primary");
    link.id = "company-link";
    const actions = [
      link,
      button("Send a message…", () => { byId("company-dialog").close(); this.on.send(company); }),
      order("Start", "start"), order("Stop", "stop"), order("Restart", "restart"),
      button("Log out…", () => this.#logOut(company), "danger"),
      button("Delete…", () => this.#delete(company), "danger"),
    ];
    if (this.on.isAdmin()) actions.splice(5, 0, button("Actor…", () => { byId("company-dialog").close(); this.on.actor(`/companies/${company}`); }));
    byId("company-actions").replaceChildren(...actions);
    link.hidden = !row || !LINKABLE.has(row.status);
  }

  async #order(company, word) {
    byId("company-problem").textContent = "";
    try {
      const status = await call("POST", `${session(company)}/${word}`);
      notice(`${company}: ${word} is done, it is ${status.status.replaceAll("_", " ")}.`);
    } catch (error) {
      byId("company-problem").textContent = error.message;
    }
  }

  async #delete(company) {
    if (!(await confirm(`Delete ${company}?`, DELETE, "Delete"))) return;
    byId("company-problem").textContent = "";
    try {
      const { loggedOut } = await call("DELETE", session(company));
      byId("company-dialog").close();
      notice(loggedOut ? `${company} is deleted, its device is unlinked.`
        : `${company} is deleted. WhatsApp did not confirm that its device is unlinked: remove it on the phone.`, !loggedOut);
    } catch (error) {
      byId("company-problem").textContent = error.message;
    }
  }

  async #logOut(company) {
    if (await confirm(`Log ${company} out?`, LOG_OUT, "Log out")) await this.#order(company, "logout");
  }
}

function answered(row) {
  const made = element("span");
  made.append(age(row.roundTripAt, "not asked yet"));
  if (row.roundTripAt !== null) made.append(" ago");
  if (row.roundTripS !== null) made.append(`, in ${Math.round(row.roundTripS * 1000)} ms`);
  return made;
}
