// Sending a test message.
import { call, session } from "./api.js";
import { open } from "./dialogs.js";
import { byId } from "./dom.js";

export class SendDialog {
  constructor() {
    byId("send-form").addEventListener("submit", (event) => { event.preventDefault(); this.#send(); });
  }

  show(company = "") {
    byId("send-company").value = company || byId("send-company").value;
    this.#say("");
    open("send-dialog");
    byId(byId("send-company").value ? "send-phone" : "send-company").focus();
  }

  async #send() {
    const company = byId("send-company").value.trim();
    const body = { phone: byId("send-phone").value.trim(), message: byId("send-text").value };
    this.#say("Sending …");
    byId("send-start").disabled = true;
    try {
      const sent = await call("POST", `${session(company)}/send`, body);
      this.#say(`Sent to ${sent.phone}: WhatsApp has it as ${sent.messageId}.`);
      byId("send-text").value = "";
    } catch (error) {
      this.#say(error.message, true);
    } finally {
      byId("send-start").disabled = false;
    }
  }

  #say(text, isProblem = false) {
    byId("send-state").textContent = text;
    byId("send-state").className = isProblem ? "problem" : "done";
  }
}
