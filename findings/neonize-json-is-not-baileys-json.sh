#!/usr/bin/env bash
# Guess:   neonize and Baileys carry the same WhatsApp protobuf, so a message that one writes as JSON is read by the other.
# Happens: their .proto files spell the same fields differently (URL and url, fileSHA256 and fileSha256, JPEGThumbnail and jpegThumbnail). On
#          the wire only numbers count; in JSON fromObject of Baileys takes the names it knows and leaves the others out, without an error.
# Matters: a stored or forwarded picture arrives with its key and without its address, digests and preview. Between the two libraries a
#          message has to travel as protobuf bytes, which the same program shows to lose nothing.
. "$(dirname "$0")/lib/setup"
pip_install neonize==0.5.2 protobuf==7.36.2
npm_install baileys@7.0.0-rc14
cat > write.py <<'PY'
from pathlib import Path

from google.protobuf.json_format import MessageToJson
from neonize.proto.waE2E.WAWebProtobufsE2E_pb2 import ImageMessage, Message

image = ImageMessage(
    URL="https://mmg.whatsapp.net/a", directPath="/a", mimetype="image/jpeg", mediaKey=b"k" * 32, fileSHA256=b"s" * 32,
    fileEncSHA256=b"e" * 32, JPEGThumbnail=b"t",
)
message = Message(imageMessage=image)
Path("message.json").write_text(MessageToJson(message))
Path("message.bin").write_bytes(message.SerializeToString())
PY
cat > read.mjs <<'JS'
import fs from 'node:fs'
import { proto } from 'baileys'
const show = (how, message) => console.log(`${how}: ${Object.keys(message.toJSON().imageMessage).sort().join(' ')}`)
show('as JSON', proto.Message.fromObject(JSON.parse(fs.readFileSync('message.json', 'utf8'))))
show('as bytes', proto.Message.decode(fs.readFileSync('message.bin')))
JS
"$python" write.py
node read.mjs | expect 'as JSON: directPath mediaKey mimetype
as bytes: directPath fileEncSha256 fileSha256 jpegThumbnail mediaKey mimetype url'
