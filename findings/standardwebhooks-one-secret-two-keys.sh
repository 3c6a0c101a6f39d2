#!/usr/bin/env bash
# Guess:   the two libraries of Standard Webhooks make the same key of a secret, or both refuse it.
# Happens: of a secret in the URL-safe alphabet (what secrets.token_urlsafe gives) the JavaScript library says that it is no base64. The Python
#          library leaves "-" and "_" out, without a word, and signs with the key of what is left.
# Matters: a sender in Python and a receiver in Python agree, so that tests pass. The first receiver in another language cannot check a single
#          delivery, and decoding the secret as it was meant does not help.
. "$(dirname "$0")/lib/setup"
pip_install standardwebhooks==1.1.0
npm_install standardwebhooks@1.1.1
cat > sign.py <<'PY'
import sys
from datetime import UTC, datetime

from standardwebhooks import Webhook

print(Webhook(sys.argv[1]).sign("msg_1", datetime.fromtimestamp(1700000000, UTC), "{}"))
PY
cat > sign.mjs <<'JS'
import { Webhook } from 'standardwebhooks'
try {
  console.log(new Webhook(process.argv[2]).sign('msg_1', new Date(1700000000000), '{}'))
} catch (error) {
  console.log(error.message)
}
JS
standard='whsec_AAAA+BBB/CCCDDDDEEEEFFFFGGGGHHHH'
urlsafe='whsec_AAAA-BBB_CCCDDDDEEEEFFFFGGGGHHHH'
stripped='whsec_AAAABBBCCCDDDDEEEEFFFFGGGGHHHH'
same() { [ "$1" = "$2" ] && echo yes || echo no; }
{
    echo "standard alphabet, same signature: $(same "$("$python" sign.py "$standard")" "$(node sign.mjs "$standard")")"
    echo "URL-safe, JavaScript: $(node sign.mjs "$urlsafe")"
    echo "URL-safe, Python, as with the standard alphabet: $(same "$("$python" sign.py "$urlsafe")" "$("$python" sign.py "$standard")")"
    echo "URL-safe, Python, as without these characters: $(same "$("$python" sign.py "$urlsafe")" "$("$python" sign.py "$stripped")")"
} | expect 'standard alphabet, same signature: yes
URL-safe, JavaScript: Base64Coder: incorrect characters for decoding
URL-safe, Python, as with the standard alphabet: no
URL-safe, Python, as without these characters: yes'
