"use strict";

// The key lives in this tab only; every piece of text from the daemon is set as text, never as markup.
const KEY = "wasup-key";
const REFRESH_MS = 2000;
const byId = (id) => document.getElementById(id);
let refreshing = null;
let linking = null;

class Failure extends Error {
  constructor(problem, status) {
    super(problem.error || `the daemon answered ${status}`);
    this.code = problem.code || "";
    this.status = status;
  }
}

async function call(method, path, body) {
  const headers = { Authorization: `Bearer ${sessionStorage.getItem(KEY)}` };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const answer = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  const content = await answer.json();
  if (!answer.ok && content.code) throw new Failure(content, answer.status);
  return content;
}

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function button(text, label, action) {
  const made = element("button", text);
  made.type = "button";
  made.setAttribute("aria-label", label);
  made.addEventListener("click", () => act(action));
  return made;
}

function notice(text, isError) {
  byId("notice").textContent = text;
  byId("notice").className = isError ? "error" : "";
}

async function act(action) {
  try {
    await action();
    await refresh();
  } catch (error) {
    notice(error.message, true);
  }
}

function row(cells) {
  const made = element("tr");
  for (const cell of cells) {
    if (cell instanceof Node) { const td = element("td"); td.append(cell); made.append(td); }
    else made.append(element("td", cell));
  }
  return made;
}

function group(...parts) {
  const made = document.createDocumentFragment();
  made.append(...parts);
  const holder = element("span", undefined, "actions");
  holder.append(made);
  return holder;
}

// Buttons are rebuilt at each refresh: keep the focus where it was.
function replaceRows(body, rows) {
  const focused = body.contains(document.activeElement) ? document.activeElement.getAttribute("aria-label") : null;
  body.replaceChildren(...rows);
  if (focused) body.querySelector(`[aria-label="${CSS.escape(focused)}"]`)?.focus();
}

function sessionRow(session) {
  const base = `/api/whatsapp/sessions/${encodeURIComponent(session.companyId)}`;
  const order = (word) => button(word, `${word} ${session.companyId}`, () => call("POST", `${base}/${word}`));
  const state = element("span", session.status, `state ${session.status}`);
  return row([session.companyId, state, session.health, group(order("start"), order("stop"), order("restart"))]);
}

async function showSessions() {
  const rows = [];
  let after = null;
  let page;
  do {
    const query = after === null ? "" : `&after=${encodeURIComponent(after)}`;
    page = await call("GET", `/api/whatsapp/sessions?limit=1000${query}`);
    rows.push(...page.sessions.map(sessionRow));
    after = page.next;
  } while (after !== null && rows.length < 5000);
  const m = page.metrics;
  byId("totals").textContent =
    `${m.totalSessions} known, ${m.activeConnections} connected, ${m.messagesSent} sent, ${m.messagesReceived} received`;
  replaceRows(byId("sessions"), rows);
}

function actorRows(actor, rows) {
  const order = (word) => button(word, `${word} ${actor.path}`, () => call("POST", `/admin/actors${actor.path}/${word}`));
  const crash = actor.lastCrash === null ? "" : `${actor.lastCrash.type}: ${actor.lastCrash.text}`.slice(0, 120);
  const isActor = actor.kind === "actor";
  const actions = isActor
    ? group(order("kill"), order(actor.state === "suspended" ? "resume" : "suspend"))
    : element("span");
  rows.push(row([
    actor.path,
    element("span", actor.isStuck ? `${actor.state}, stuck` : actor.state, `state ${actor.state}`),
    isActor ? `${actor.mailboxDepth} of ${actor.mailboxCapacity}` : "",
    isActor ? String(actor.processed) : "",
    String(actor.restarts),
    crash,
    actions,
  ]));
  for (const child of actor.children) actorRows(child, rows);
  return rows;
}

async function showTree() {
  try {
    const { tree } = await call("GET", "/admin/tree");
    byId("tree-section").hidden = false;
    replaceRows(byId("tree"), actorRows(tree, []));
  } catch (error) {
    if (error.status !== 403) throw error;
    byId("tree-section").hidden = true;
  }
}

async function refresh() {
  await showSessions();
  await showTree();
}

async function refreshLoop() {
  clearTimeout(refreshing);
  if (!sessionStorage.getItem(KEY)) return;
  try {
    if (!document.hidden) await refresh();
    if (byId("notice").className === "error" && byId("notice").dataset.from === "refresh") notice("");
  } catch (error) {
    if (error.status === 401) { forgetKey(); notice("This key is not valid.", true); return; }
    notice(error.message, true);
    byId("notice").dataset.from = "refresh";
  }
  refreshing = setTimeout(refreshLoop, REFRESH_MS);
}

async function useKey() {
  try {
    await refresh();
  } catch (error) {
    forgetKey();
    notice(error.message, true);
    return;
  }
  for (const id of ["sessions-section", "link-section", "send-section", "forget-key"]) byId(id).hidden = false;
  byId("key").value = "";
  notice("");
  refreshing = setTimeout(refreshLoop, REFRESH_MS);
}

function forgetKey() {
  sessionStorage.removeItem(KEY);
  clearTimeout(refreshing);
  stopLinking("");
  for (const id of ["sessions-section", "link-section", "send-section", "tree-section", "forget-key"]) byId(id).hidden = true;
}

function stopLinking(text) {
  clearTimeout(linking);
  linking = null;
  byId("link-state").textContent = text;
  byId("link-code").textContent = "";
  byId("link-qr").hidden = true;
  byId("link-qr").removeAttribute("src");
  byId("link-stop").hidden = true;
}

function showOffer(offer) {
  const seconds = Math.max(0, Math.round(offer.expiresAt - Date.now() / 1000));
  byId("link-state").textContent = `${offer.message} It is good for ${seconds} s.`;
  byId("link-code").textContent = offer.pairingCode || "";
  byId("link-qr").hidden = !offer.qrDataUrl;
  if (offer.qrDataUrl) byId("link-qr").src = offer.qrDataUrl;
  byId("link-stop").hidden = false;
}

// The QR code changes every 20 s: fetch the present one until the company is connected or stops pairing.
async function followLinking(company, usesQr) {
  const base = `/api/whatsapp/sessions/${encodeURIComponent(company)}`;
  try {
    const status = await call("GET", `${base}/status`);
    if (status.status === "connected") { stopLinking(`${company} is linked and connected.`); return; }
    if (!["pairing", "connecting", "reconnecting"].includes(status.status)) {
      stopLinking(`${company} is ${status.status}: ${status.reason}`);
      return;
    }
    if (status.status !== "pairing") byId("link-state").textContent = `${company}: ${status.status}`;
    else if (usesQr) await showPresentQr(base);
  } catch (error) {
    byId("link-state").textContent = error.message;
  }
  if (linking !== null) linking = setTimeout(() => followLinking(company, usesQr), 1500);
}

async function showPresentQr(base) {
  const answer = await fetch(`${base}/qr`, {
    headers: { Authorization: `Bearer ${sessionStorage.getItem(KEY)}`, Accept: "image/svg+xml" },
  });
  if (!answer.ok) return;
  byId("link-qr").src = `data:image/svg+xml,${encodeURIComponent(await answer.text())}`;
  byId("link-qr").hidden = false;
}

byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEY, byId("key").value.trim());
  useKey();
});

byId("forget-key").addEventListener("click", () => { forgetKey(); notice("The key is forgotten."); });
byId("link-stop").addEventListener("click", () => stopLinking(""));

byId("link-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const company = byId("company").value.trim();
  const phone = byId("phone").value.trim();
  stopLinking("Asking WhatsApp …");
  try {
    const body = phone ? { method: "code", phone } : { method: "qr" };
    showOffer(await call("POST", `/api/whatsapp/sessions/${encodeURIComponent(company)}/initialize`, body));
    linking = setTimeout(() => followLinking(company, !phone), 1500);
  } catch (error) {
    stopLinking(error.message);
  }
});

byId("send-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const company = byId("send-company").value.trim();
  const body = { phone: byId("send-phone").value, message: byId("send-text").value };
  byId("send-state").textContent = "Sending …";
  try {
    const sent = await call("POST", `/api/whatsapp/sessions/${encodeURIComponent(company)}/send`, body);
    byId("send-state").textContent = `Sent to ${sent.phone} as ${sent.messageId}.`;
  } catch (error) {
    byId("send-state").textContent = error.message;
  }
});

if (sessionStorage.getItem(KEY)) useKey();
