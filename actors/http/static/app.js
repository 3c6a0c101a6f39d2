// The dashboard: signs in, follows the daemon's stream and passes its news to those who show them.
import { ActorDialog } from "./actor.js";
import { Actors } from "./actors.js";
import { setClock } from "./ages.js";
import { dropKey, keepKey, key } from "./api.js";
import { CompanyDialog } from "./company.js";
import { notice, prepare } from "./dialogs.js";
import { byId, setClass, setText } from "./dom.js";
import { Events } from "./events.js";
import { showFacts } from "./facts.js";
import { LinkDialog } from "./link.js";
import { SendDialog } from "./send.js";
import { Sessions } from "./sessions.js";
import { Stream } from "./stream.js";

let stream = null;
let isAdmin = false;

const linkDialog = new LinkDialog();
const sendDialog = new SendDialog();
const actorDialog = new ActorDialog();
const actors = new Actors(
  (path) => actorDialog.show(path, actors.get(path)),
  (path, row) => actorDialog.update(path, row),
);
const companyDialog = new CompanyDialog({
  link: (company) => linkDialog.show(company),
  send: (company) => sendDialog.show(company),
  actor: (path) => actorDialog.show(path, actors.get(path)),
  isAdmin: () => isAdmin,
});
const sessions = new Sessions(
  (company) => companyDialog.show(company, sessions.get(company)),
  (company, row) => companyDialog.update(company, row),
);
const events = new Events((event) => linkDialog.news(event.companyId, event), (text) => sessions.like(text));

const TAKE = {
  hello(hello) {
    setClock(hello.now);
    isAdmin = hello.admin;
    sessions.isLimited = !hello.admin;
    byId("tree-section").hidden = !hello.admin;
    byId("to-tree").hidden = !hello.admin;
    showDashboard(true);
  },
  facts: showFacts,
  tree: (difference) => actors.rows.apply(difference),
  sessions: (difference) => sessions.rows.apply(difference),
  event: (event) => events.add(event),
  log: ({ available }) => events.showLog(available),
};

function showDashboard(isIn) {
  byId("dashboard").hidden = !isIn;
  byId("forget-key").hidden = !isIn;
  byId("sections").hidden = !isIn;
  byId("sign-in").hidden = isIn;
  byId("connection").hidden = !isIn && stream === null;
}

function showConnection(word, seconds, why) {
  const text = { connecting: "Connecting …", live: "Live", waiting: `Reconnecting in ${Math.ceil(seconds)} s. ${why}` }[word];
  byId("connection").hidden = false;
  setClass(byId("connection"), `connection ${word}`);
  setText(byId("connection"), text);
  byId("dashboard").classList.toggle("stale", word === "waiting");
}

function follow() {
  stream?.stop();
  stream = new Stream({
    onMessage: (kind, data) => TAKE[kind]?.(data),
    onState: showConnection,
    onRefused: (failure) => signOut(failure.status === 401 ? "This key is not valid." : failure.message),
  });
}

function signOut(problem = "") {
  stream?.stop();
  stream = null;
  dropKey();
  for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
  for (const part of [sessions.rows, actors.rows, events]) part.clear();
  byId("facts").hidden = true;
  setText(byId("key-error"), problem);
  notice("");
  showDashboard(false);
  byId("key").focus();
}

byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  keepKey(byId("key").value.trim());
  byId("key").value = "";
  setText(byId("key-error"), "");
  follow();
});
byId("forget-key").addEventListener("click", () => signOut());
byId("notice-close").addEventListener("click", () => notice(""));
byId("open-link").addEventListener("click", () => linkDialog.show());
byId("open-send").addEventListener("click", () => sendDialog.show());
addEventListener("online", () => stream?.hurry());
document.addEventListener("visibilitychange", () => { if (!document.hidden) stream?.hurry(); });

prepare();
if (key()) follow();
else byId("key").focus();
