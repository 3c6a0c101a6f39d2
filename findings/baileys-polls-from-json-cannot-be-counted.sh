#!/usr/bin/env bash
# Guess:   a message kept with BufferJSON, the way Baileys gives for its own state, is the same message when it is read again.
# Happens: protobuf messages have a toJSON of their own, which JSON.stringify calls before the replacer sees anything: bytes become base64 text, and
#          the reviver leaves text alone. Media keys are taken as text too, so pictures still work. The secret of a poll is not: decryptPollVote
#          makes a key of the letters, and every vote "cannot be authenticated".
# Matters: getMessage has to give Baileys the poll when a vote arrives, often after a restart, from a store that was filled in this way. Keep the
#          bytes of proto.Message.encode, or pass what was read through proto.Message.fromObject: both are shown to work.
. "$(dirname "$0")/lib/setup"
npm_install baileys@7.0.0-rc14
cat > run.mjs <<'JS'
import { createCipheriv, createHmac } from 'node:crypto'
import { BufferJSON, decryptPollVote, proto } from 'baileys'

const [pollCreatorJid, voterJid, pollMsgId] = ['79000000001@s.whatsapp.net', '79000000002@s.whatsapp.net', '3EB0000000000000000001']
const messageSecret = new Uint8Array(32).fill(7)
const poll = proto.Message.fromObject({ messageContextInfo: { messageSecret }, pollCreationMessageV3: { name: 'Lunch?', options: [] } })

// A vote as the voter's phone encrypts it.
const hmac = (key, ...parts) => parts.reduce((mac, part) => mac.update(part), createHmac('sha256', key)).digest()
const key = hmac(hmac(Buffer.alloc(32), messageSecret), pollMsgId, pollCreatorJid, voterJid, 'Poll Vote', Buffer.from([1]))
const encIv = Buffer.alloc(12, 9)
const cipher = createCipheriv('aes-256-gcm', key, encIv).setAAD(Buffer.from(`${pollMsgId}\0${voterJid}`))
const vote = proto.Message.PollVoteMessage.encode({ selectedOptions: [Buffer.alloc(32, 1)] }).finish()
const encPayload = Buffer.concat([cipher.update(vote), cipher.final(), cipher.getAuthTag()])

const read = JSON.parse(JSON.stringify(poll, BufferJSON.replacer), BufferJSON.reviver)
const polls = {
  'as made': poll,
  'as JSON': read,
  'as JSON, then fromObject': proto.Message.fromObject(read),
  'as protobuf': proto.Message.decode(proto.Message.encode(poll).finish()),
}
for (const [how, { messageContextInfo: { messageSecret: pollEncKey } }] of Object.entries(polls)) {
  let counted = 'counted'
  try { decryptPollVote({ encPayload, encIv }, { pollCreatorJid, pollMsgId, pollEncKey, voterJid }) } catch { counted = 'refused' }
  console.log(`${how}: the secret is ${typeof pollEncKey === 'string' ? 'text' : 'bytes'}, the vote is ${counted}`)
}
JS
node run.mjs | expect 'as made: the secret is bytes, the vote is counted
as JSON: the secret is text, the vote is refused
as JSON, then fromObject: the secret is bytes, the vote is counted
as protobuf: the secret is bytes, the vote is counted'
