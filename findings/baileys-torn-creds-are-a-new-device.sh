#!/usr/bin/env bash
# Guess:   when creds.json is there and cannot be read, useMultiFileAuthState fails: this is a linked account.
# Happens: every error of reading counts as "no such file". A file that a full disk or a kill cut short gives fresh credentials, and the next
#          saveCreds writes them over what was left of the old ones.
# Matters: the account asks for a QR code, and its identity is gone from disk. Whoever moves such a directory must treat an unreadable
#          creds.json as an error, never as "not linked yet".
. "$(dirname "$0")/lib/setup"
npm_install baileys@7.0.0-rc14
cat > run.mjs <<'JS'
import fs from 'node:fs'
import { useMultiFileAuthState } from 'baileys'
const first = await useMultiFileAuthState('auth')
first.state.creds.registered = true
await first.saveCreds()
const whole = fs.readFileSync('auth/creds.json')
fs.writeFileSync('auth/creds.json', whole.subarray(0, whole.length - 1))
const second = await useMultiFileAuthState('auth')
console.log('error: none')
console.log('registered before and after:', first.state.creds.registered, second.state.creds.registered)
console.log('same identity key:', Buffer.compare(Buffer.from(first.state.creds.signedIdentityKey.public), Buffer.from(second.state.creds.signedIdentityKey.public)) === 0)
JS
node run.mjs | expect 'error: none
registered before and after: true false
same identity key: false'
