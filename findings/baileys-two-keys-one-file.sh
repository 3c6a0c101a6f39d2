#!/usr/bin/env bash
# Guess:   useMultiFileAuthState keeps every key it is given: two keys with different ids are two files.
# Happens: the file name is made by replacing ":" by "-" and "/" by "__", so that ids which differ only there share a file. The second one
#          written replaces the first, and both are read as the second.
# Matters: sender keys of groups have ids with "::" in them and base64 ids have "/". An importer cannot take the id from the file name, and a
#          store of one's own that copies the naming loses keys.
. "$(dirname "$0")/lib/setup"
npm_install baileys@7.0.0-rc14
cat > run.mjs <<'JS'
import fs from 'node:fs'
import { useMultiFileAuthState } from 'baileys'
const { state } = await useMultiFileAuthState('auth')
const ids = ['1@g.us::2:3::0', '1@g.us::2-3::0']
await state.keys.set({ 'sender-key': { [ids[0]]: 'first', [ids[1]]: 'second' } })
console.log('files:', fs.readdirSync('auth').length)
const read = await state.keys.get('sender-key', ids)
for (const id of ids) console.log(id, '->', read[id])
JS
node run.mjs | expect 'files: 1
1@g.us::2:3::0 -> second
1@g.us::2-3::0 -> second'
