#!/usr/bin/env bash
# Guess:   areJidsSameUser says whether two addresses are one person's, so a number and a LID with the same digits are two people.
# Happens: only the part before the "@" is compared. A phone number, a LID, a group and a channel with the same digits are "the same user".
# Matters: LIDs are numbers without a country code, of a phone number's length. Code that filters or merges chats by this function can put
#          two strangers into one conversation since messages are addressed by LID.
. "$(dirname "$0")/lib/setup"
npm_install baileys@7.0.0-rc14
cat > run.mjs <<'JS'
import { areJidsSameUser } from 'baileys'
for (const server of ['s.whatsapp.net', 'lid', 'g.us', 'newsletter'])
  console.log(server, areJidsSameUser('79000000001@s.whatsapp.net', `79000000001@${server}`))
JS
node run.mjs | expect 's.whatsapp.net true
lid true
g.us true
newsletter true'
