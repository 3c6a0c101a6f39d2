// The child process of `peers.start_baileys`: a group of real Baileys clients, driven over JSON lines on standard input.
// Run as `node peer.mjs MODULES WEBSOCKET_URL DIRECTORY`. Ends with its standard input.

import { readFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import { createRequire } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import tls from "node:tls";
import { pathToFileURL } from "node:url";

const [modules, websocketUrl, directory] = process.argv.slice(2);
const require = createRequire(join(modules, "package.json"));
const loaded = await import(pathToFileURL(join(modules, "node_modules/baileys/lib/index.js")));
const baileys = loaded.proto ? loaded : loaded.default; // Baileys 6 is no ES module
const logger = require("pino")({ level: "warn" }, require("pino").destination(2));
console.log = console.info = console.error; // libsignal prints to standard output, which must stay clean for answers
const RESTART_REQUIRED = 515;
const clients = new Map();
const messages = new Map();
const KEPT = 200;

// Media hosts are reached as neonize reaches them: through the loopback's CONNECT proxy, by TLS that its authority signed.
const proxy = new URL(process.env.LOOPBACK_PROXY);
const ca = readFileSync(process.env.SSL_CERT_FILE);

class ProxyAgent extends https.Agent {
  createConnection({ host, port }, connected) {
    const path = `${host}:${port}`;
    http
      .request({ host: proxy.hostname, port: proxy.port, method: "CONNECT", path })
      .on("connect", (_, socket) => {
        const secure = tls.connect({ socket, servername: host, ca }, () => connected(null, secure));
        secure.on("error", connected);
      })
      .on("error", connected)
      .end();
  }
}

const agent = new ProxyAgent();
globalThis.fetch = (url, { headers = {} } = {}) =>
  new Promise((resolve, reject) => {
    https
      .get(url, { agent, headers: Object.fromEntries(Object.entries(headers)) }, (response) =>
        resolve(new Response(Readable.toWeb(response), { status: response.statusCode })),
      )
      .on("error", reject);
  });

const write = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const emit = (event, client, fields = {}) => write({ event, client, ...fields });

function closed(client, error) {
  const code = error?.output?.statusCode ?? 0;
  if (code === RESTART_REQUIRED) {
    return connect(client);
  }
  const reasons = { 401: "logged_out", 440: "replaced" };
  emit("closed", client, { reason: reasons[code] ?? "end", code, text: String(error?.message ?? "") });
}

function received(client, { key, message }) {
  const extended = message?.extendedTextMessage;
  const text = message?.conversation || extended?.text || "";
  if (!message || (message.senderKeyDistributionMessage && Object.keys(message).length === 1)) {
    return;
  }
  messages.set(key.id, { key, message });
  if (messages.size > KEPT) {
    messages.delete(messages.keys().next().value);
  }
  const quoted = extended?.contextInfo?.quotedMessage;
  emit("message", client, {
    id: key.id,
    chat: key.remoteJid,
    sender: key.participant || key.remoteJid,
    sender_alt: key.participantAlt || key.remoteJidAlt || "",
    from_me: Boolean(key.fromMe),
    text,
    content: baileys.proto.Message.toObject(message, { bytes: String, longs: String, enums: String }),
    quoted_id: extended?.contextInfo?.stanzaId ?? "",
    quoted_text: quoted?.conversation ?? quoted?.extendedTextMessage?.text ?? "",
  });
}

async function connect(client) {
  const { state, saveCreds } = await baileys.useMultiFileAuthState(join(directory, client));
  const socket = baileys.makeWASocket({
    auth: state,
    logger,
    waWebSocketUrl: websocketUrl,
    fetchAgent: agent,
    version: [2, 3000, 1],
    syncFullHistory: false,
    shouldSyncHistoryMessage: () => false,
    fireInitQueries: false,
    markOnlineOnConnect: false,
    emitOwnEvents: false,
  });
  clients.set(client, socket);
  socket.ev.on("creds.update", saveCreds);
  socket.ev.on("connection.update", ({ qr, isNewLogin, connection, lastDisconnect, receivedPendingNotifications }) => {
    if (receivedPendingNotifications) {
      // Baileys 6 keeps every event back until the phone shares its app-state key, which a simulated phone never does.
      setImmediate(() => socket.ev.flush());
    }
    if (qr) {
      emit("qr", client, { qr });
    }
    if (isNewLogin) {
      const { id, lid } = socket.authState.creds.me;
      emit("paired", client, { jid: id, lid: lid ?? "" });
    }
    if (connection === "open") {
      emit("connected", client);
    }
    if (connection === "close" && clients.get(client) === socket) {
      closed(client, lastDisconnect?.error);
    }
  });
  socket.ev.on("messages.upsert", ({ messages }) => messages.forEach((message) => received(client, message)));
  socket.ev.on("message-receipt.update", (updates) =>
    updates.forEach(({ key }) => emit("receipt", client, { ids: [key.id], chat: key.remoteJid })),
  );
  socket.ev.on("messages.update", (updates) =>
    updates
      .filter(({ update }) => update.status >= 3)
      .forEach(({ key, update }) =>
        emit("receipt", client, { ids: [key.id], chat: key.remoteJid, type: update.status >= 4 ? "read" : "delivered" }),
      ),
  );
}

const calls = {
  open: ({ client }) => connect(client),

  async close({ client }) {
    const socket = clients.get(client);
    clients.delete(client);
    socket.end(undefined);
  },

  async send({ client, to, text, quoted }) {
    const jid = to.includes("@") ? to : `${to}@s.whatsapp.net`;
    const reply = quoted && {
      key: { remoteJid: jid, fromMe: false, id: quoted.id, participant: quoted.sender },
      message: { conversation: quoted.text },
    };
    const sent = await clients.get(client).sendMessage(jid, { text }, reply ? { quoted: reply } : {});
    return sent.key.id;
  },

  async send_content({ client, to, content }) {
    const jid = to.includes("@") ? to : `${to}@s.whatsapp.net`;
    const file = (_, value) => (value?.base64 === undefined ? value : Buffer.from(value.base64, "base64"));
    return (await clients.get(client).sendMessage(jid, JSON.parse(JSON.stringify(content), file))).key.id;
  },

  async download({ id_ }) {
    return (await baileys.downloadMediaMessage(messages.get(id_), "buffer", {})).toString("base64");
  },

  pairing_code: ({ client, phone }) => clients.get(client).requestPairingCode(phone),

  logout: ({ client }) => clients.get(client).logout(),
};

const lines = createInterface({ input: process.stdin });
lines.on("line", async (line) => {
  const { id, call, args } = JSON.parse(line);
  try {
    write({ id, result: String((await calls[call](args)) ?? "") });
  } catch (error) {
    write({ id, error: String(error?.stack ?? error) });
  }
});
lines.on("close", () => process.exit(0));
