#!/usr/bin/env bash
# Guess:   BufferJSON.reviver of Baileys 7 reads what BufferJSON.reviver of Baileys 6 read, so a database of auth state survives the upgrade.
# Happens: version 6 turned the form that Node's own Buffer.toJSON writes ({"type":"Buffer","data":[1,2,3]}) into bytes. Version 7 leaves it a
#          plain object, without an error.
# Matters: JSON.stringify without the replacer, and many a JSONB column, hold exactly that form. After the upgrade keys are objects where
#          bytes are expected; a reader of such databases has to take both.
. "$(dirname "$0")/lib/setup"
mkdir six seven
(cd seven && npm_install baileys@7.0.0-rc14)
cat > six/package.json <<'JSON'
{"private": true, "type": "module", "dependencies": {"baileys": "6.17.16"},
 "overrides": {"@whiskeysockets/eslint-config": "npm:is-number@7.0.0", "libsignal": "npm:libsignal@6.0.0"}}
JSON
(cd six && npm install --silent --no-audit --no-fund --ignore-scripts >npm.log 2>&1) || { cat six/npm.log; exit 1; }
echo "version: baileys@6.17.16"
cat > run.mjs <<'JS'
import * as six from './six/node_modules/baileys/lib/index.js'
import * as seven from './seven/node_modules/baileys/lib/index.js'
const written = JSON.stringify({ key: Buffer.from([1, 2, 3]) })
console.log('written:', written)
for (const [name, library] of [['6', six], ['7', seven]]) {
  const reviver = (library.BufferJSON ?? library.default.BufferJSON).reviver
  console.log(`read by ${name}: bytes`, Buffer.isBuffer(JSON.parse(written, reviver).key))
}
JS
node run.mjs | expect 'written: {"key":{"type":"Buffer","data":[1,2,3]}}
read by 6: bytes true
read by 7: bytes false'
