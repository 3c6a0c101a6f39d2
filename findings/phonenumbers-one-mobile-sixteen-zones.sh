#!/usr/bin/env bash
# Guess:   time_zones_for_number says where a phone is, so "not before nine in the recipient's morning" can be kept for any number.
# Happens: a Russian or Kazakh mobile number has sixteen zones, from Kaliningrad to Kamchatka: the data goes by number range, and mobile ranges
#          belong to the whole country. A Brazilian mobile has one, by its area code.
# Matters: quiet hours by this function send at four in the morning to some and look right in tests with numbers of other countries. A number
#          that has more than one zone has to be treated as unknown.
. "$(dirname "$0")/lib/setup"
pip_install phonenumbers==9.0.43
cat > run.py <<'PY'
import phonenumbers
from phonenumbers import timezone

for text in ("+79000000001", "+77010000000", "+5511900000000", "+14155550100"):
    print(text, len(timezone.time_zones_for_number(phonenumbers.parse(text))))
PY
"$python" run.py | expect '+79000000001 16
+77010000000 16
+5511900000000 1
+14155550100 1'
