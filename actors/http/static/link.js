// Linking a company: the QR code of the moment, or a code to type, until WhatsApp says connected or no.
import { now } from "./ages.js";
import { call, request, session } from "./api.js";
import { open } from "./dialogs.js";
import { byId } from "./dom.js";

const UNDER_WAY = new Set(["pairing", "passkey", "connecting", "reconnecting"]);
const LOOK_MS = 3000; // beside the stream's news, which come at once

export class LinkDialog {
  #company = null; // whose linking is followed
  #usesQr = true;
  #timer = null;
  #expiresAt = null;
  #looks = 0;

  constructor() {
    byId("link-form").addEventListener("submit", (event) => { event.preventDefault(); this.#begin(); });
    for (const id of ["method-qr", "method-code"]) byId(id).addEventListener("change", () => this.#showMethod());
    byId("passkey-send").addEventListener("click", () => this.#passkeyStep("response", () => JSON.parse(byId("passkey-response").value)));
    byId("passkey-confirm").addEventListener("click", () => this.#passkeyStep("confirm", () => ({})));
    byId("link-dialog").addEventListener("close", () => this.#forget());
    setInterval(() => this.#count(), 1000);
  }

  show(company = "") {
    this.#forget();
    this.#say("");
    byId("company").value = company;
    open("link-dialog");
    byId(company ? "link-start" : "company").focus();
  }

  // Something happened to a company: a new code is on offer, or its state changed.
  news(company, event) {
    if (company === this.#company && ["qr", "pairing_code", "passkey_required", "status", "connected"].includes(event.type)) this.#look();
  }

  #showMethod() {
    const byCode = byId("method-code").checked;
    byId("phone-field").hidden = !byCode;
    byId("phone").required = byCode;
    if (byCode) byId("phone").focus();
  }

  async #begin() {
    this.#forget();
    const company = byId("company").value.trim();
    this.#usesQr = !byId("method-code").checked;
    const body = this.#usesQr ? { method: "qr" } : { method: "code", phone: byId("phone").value.trim() };
    this.#say("Asking WhatsApp for a code …");
    byId("link-start").disabled = true;
    try {
      const offer = await call("POST", `${session(company)}/initialize`, body);
      if (!byId("link-dialog").open) return;
      this.#company = company;
      this.#show(offer);
      this.#timer = setTimeout(() => this.#look(), LOOK_MS);
    } catch (error) {
      this.#say(error.message, true);
    } finally {
      byId("link-start").disabled = false;
    }
  }

  #show({ qrDataUrl, pairingCode, expiresAt }) {
    this.#expiresAt = expiresAt;
    byId("link-steps").hidden = false;
    byId("link-qr").hidden = !qrDataUrl;
    if (qrDataUrl) byId("link-qr").src = qrDataUrl;
    byId("link-code").hidden = !pairingCode;
    byId("link-code").textContent = pairingCode ? `${pairingCode.slice(0, 4)} ${pairingCode.slice(4)}` : "";
    this.#count();
  }

  #count() {
    if (this.#company === null || this.#expiresAt === null) return;
    const left = Math.max(0, Math.round(this.#expiresAt - now()));
    const what = this.#usesQr ? "Scan the code with the phone" : "Type the code into the phone";
    this.#say(left ? `${what}: good for ${left} s${this.#usesQr ? ", then a new one comes" : ""}.` : "Waiting for a new code …");
  }

  async #look() {
    clearTimeout(this.#timer);
    const company = this.#company;
    const look = (this.#looks += 1);
    if (company === null) return;
    try {
      const status = await call("GET", `${session(company)}/status`);
      if (company !== this.#company || look !== this.#looks) return;
      if (status.status === "connected") return this.#end(`${company} is linked and connected.`);
      if (!UNDER_WAY.has(status.status)) return this.#end(`${company} is ${status.status.replaceAll("_", " ")}: ${status.reason}`, true);
      byId("passkey").hidden = status.status !== "passkey";
      if (status.status === "passkey") {
        this.#hideOffer();
        byId("passkey").hidden = false;
        await this.#showPasskey(company);
      } else if (status.status !== "pairing") {
        this.#hideOffer();
        this.#say("The phone has answered. Connecting …");
      } else if (this.#usesQr) await this.#renew(company);
    } catch (error) {
      this.#say(error.message, true);
    }
    if (company === this.#company) this.#timer = setTimeout(() => this.#look(), LOOK_MS);
  }

  // The account wants its passkey: the line for the console of WhatsApp's page, and where its answer goes.
  async #showPasskey(company) {
    const { step, options, origin, code, error } = await call("GET", `${session(company)}/passkey`);
    if (company !== this.#company) return;
    const text = JSON.stringify(options);
    byId("passkey-snippet").value = `copy(JSON.stringify((await navigator.credentials.get({publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(${text})})).toJSON()))`;
    byId("passkey-give").hidden = step !== "response";
    byId("passkey-compare").hidden = step !== "confirm";
    byId("passkey-code").textContent = code ?? "";
    if (step === "response") this.#say(error ?? `WhatsApp wants the account's passkey, given at ${origin}.`, Boolean(error));
    else this.#say(step === "confirm" ? "Compare the code with the phone's." : "Keep WhatsApp open on the phone …");
  }

  async #passkeyStep(what, body) {
    if (this.#company === null) return;
    try {
      await call("POST", `${session(this.#company)}/passkey/${what}`, body());
      byId("passkey-response").value = "";
    } catch (error) {
      this.#say(error instanceof SyntaxError ? "This is not the response: copy all of it, from { to }." : error.message, true);
      return;
    }
    this.#look();
  }

  async #renew(company) {
    const answer = await request(`${session(company)}/qr`, { headers: { Accept: "image/svg+xml" } });
    if (!answer.ok || company !== this.#company) return;
    const picture = `data:image/svg+xml,${encodeURIComponent(await answer.text())}`;
    if (byId("link-qr").dataset.shown !== picture && byId("link-qr").dataset.shown) this.#expiresAt = now() + 20;
    byId("link-qr").dataset.shown = picture;
    byId("link-qr").src = picture;
    byId("link-qr").hidden = false;
  }

  #end(text, isProblem = false) {
    this.#forget();
    this.#say(text, isProblem);
  }

  #forget() {
    clearTimeout(this.#timer);
    this.#company = null;
    this.#hideOffer();
  }

  #hideOffer() {
    this.#expiresAt = null;
    byId("link-qr").hidden = true;
    byId("link-qr").removeAttribute("src");
    delete byId("link-qr").dataset.shown;
    byId("link-code").hidden = true;
    byId("link-steps").hidden = true;
    byId("passkey").hidden = true;
  }

  #say(text, isProblem = false) {
    byId("link-state").textContent = text;
    byId("link-state").className = isProblem ? "problem" : "";
  }
}
