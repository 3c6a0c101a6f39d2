// Real conversations with the Signal library and the groups of Baileys, without WhatsApp: `node conversation.mjs MODULES`.
// `talk` has Alice and Bob talk until Bob has an archived session, a step of the ratchet and messages that did not arrive. `resume`
// goes on with Bob's records as they came back from a conversion. JSON lines in and out; everything binary is base64.

import { createRequire } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const modules = process.argv[2];
const require = createRequire(join(modules, "package.json"));
const signal = require("libsignal");
const { SessionRecord } = signal;
const groups = await import(pathToFileURL(join(modules, "node_modules/baileys/lib/Signal/Group/index.js")));
console.log = console.info = console.warn = console.error = () => undefined;

const base64 = (bytes) => Buffer.from(bytes).toString("base64");
const bytes = (text) => Buffer.from(text, "base64");
const GROUP = "1@g.us";

class Person {
  constructor(name) {
    this.address = new signal.ProtocolAddress(name, 1);
    this.identity = signal.keyhelper.generateIdentityKeyPair();
    this.registrationId = 1 + Math.floor(Math.random() * 16000);
    this.signed = signal.keyhelper.generateSignedPreKey(this.identity, 1);
    this.preKeys = new Map();
    this.sessions = new Map();
    this.senderKeys = new Map();
  }
  getOurIdentity = () => this.identity;
  getOurRegistrationId = () => this.registrationId;
  isTrustedIdentity = () => true;
  loadSession = async (id) => (this.sessions.has(id) ? SessionRecord.deserialize(this.sessions.get(id)) : undefined);
  storeSession = async (id, record) => void this.sessions.set(id, record.serialize());
  loadPreKey = async (id) => this.preKeys.get(id);
  removePreKey = async (id) => void this.preKeys.delete(id);
  loadSignedPreKey = async () => this.signed.keyPair;
  loadSenderKey = async (name) => {
    const stored = this.senderKeys.get(name.toString());
    return stored ? groups.SenderKeyRecord.deserialize(stored) : new groups.SenderKeyRecord();
  };
  storeSenderKey = async (name, record) =>
    void this.senderKeys.set(name.toString(), Buffer.from(JSON.stringify(record.serialize())));

  bundle(id) {
    const pair = signal.keyhelper.generatePreKey(id);
    this.preKeys.set(id, pair.keyPair);
    return {
      registrationId: this.registrationId,
      identityKey: this.identity.pubKey,
      signedPreKey: { keyId: 1, publicKey: this.signed.keyPair.pubKey, signature: this.signed.signature },
      preKey: { keyId: id, publicKey: pair.keyPair.pubKey },
    };
  }
  async begin(other, id) {
    await new signal.SessionBuilder(this, other.address).initOutgoing(other.bundle(id));
  }
  async say(other, text) {
    const { type, body } = await new signal.SessionCipher(this, other.address).encrypt(Buffer.from(text));
    return { type, body: base64(Buffer.from(body, "binary")) };
  }
  async hear(other, { type, body }) {
    const cipher = new signal.SessionCipher(this, other.address);
    const heard = type === 3 ? cipher.decryptPreKeyWhisperMessage(bytes(body)) : cipher.decryptWhisperMessage(bytes(body));
    return (await heard).toString();
  }
  group() {
    return new groups.GroupCipher(this, new groups.SenderKeyName(GROUP, { id: this.address.id, deviceId: 1 }));
  }
  async handOut(other) {
    const name = new groups.SenderKeyName(GROUP, { id: this.address.id, deviceId: 1 });
    const sent = (await new groups.GroupSessionBuilder(this).create(name)).serialize();
    await new groups.GroupSessionBuilder(other).process(
      name,
      new groups.SenderKeyDistributionMessage(null, null, null, null, sent),
    );
  }
  hearGroup(other, message) {
    const name = new groups.SenderKeyName(GROUP, { id: other.address.id, deviceId: 1 });
    return new groups.GroupCipher(this, name).decrypt(message);
  }
}

const alice = new Person("79000000001");
const bob = new Person("79000000002");

const calls = {
  async talk() {
    await alice.begin(bob, 1);
    await bob.hear(alice, await alice.say(bob, "first session"));
    await alice.hear(bob, await bob.say(alice, "answer"));
    await alice.begin(bob, 2); // the session before is archived
    await bob.hear(alice, await alice.say(bob, "second session"));
    await alice.hear(bob, await bob.say(alice, "answer"));
    const withheld = await alice.say(bob, "withheld");
    await bob.hear(alice, await alice.say(bob, "after it"));
    await alice.hear(bob, await bob.say(alice, "a step of the ratchet"));
    await bob.hear(alice, await alice.say(bob, "and another"));

    await alice.handOut(bob);
    await bob.handOut(alice);
    await bob.hearGroup(alice, await alice.group().encrypt(Buffer.from("one")));
    const missed = await alice.group().encrypt(Buffer.from("missed"));
    await bob.hearGroup(alice, await alice.group().encrypt(Buffer.from("three")));
    await alice.hearGroup(bob, await bob.group().encrypt(Buffer.from("own")));
    return {
      identity: base64(bob.identity.pubKey),
      other: base64(alice.identity.pubKey),
      registrationId: bob.registrationId,
      session: bob.sessions.get(alice.address.toString()),
      senderKeys: Object.fromEntries([...bob.senderKeys].map(([name, key]) => [name, base64(key)])),
      withheld: withheld.body,
      missed: base64(missed),
    };
  },

  async resume({ session, senderKeys, missed }) {
    bob.sessions.set(alice.address.toString(), session);
    bob.senderKeys = new Map(Object.entries(senderKeys).map(([name, key]) => [name, bytes(key)]));
    const heard = [];
    for (const text of ["one", "two"]) {
      const sent = await alice.say(bob, `to bob ${text}`);
      const answer = await bob.hear(alice, sent);
      const back = await bob.say(alice, `to alice ${text}`);
      heard.push([sent.type, answer, back.type, await alice.hear(bob, back)]);
    }
    // The missed one first: Baileys 7 cannot read back the seeds that it has itself written once.
    const group = [
      await bob.hearGroup(alice, bytes(missed)),
      await bob.hearGroup(alice, await alice.group().encrypt(Buffer.from("group, to bob"))),
      await alice.hearGroup(bob, await bob.group().encrypt(Buffer.from("group, to alice"))),
    ];
    return { heard, group: group.map(String) };
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { call, args } = JSON.parse(line);
  const answer = await calls[call](args).catch((error) => ({ error: String(error?.stack ?? error) }));
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
