#!/usr/bin/env bash
# Guess:   the number in a WhatsApp id is a phone number, so is_possible_number, the weakest check there is, says yes.
# Happens: WhatsApp keeps the form in which an account was registered. Mexico's 521…, Ivory Coast's and Benin's numbers of eight digits ended as
#          phone numbers years ago; for phonenumbers they are not even possible. Brazil's without the ninth digit is possible and not valid.
# Matters: a check of "wrong" numbers before a send refuses people who are on WhatsApp under exactly this id. What WhatsApp itself named must be
#          taken as it is.
. "$(dirname "$0")/lib/setup"
pip_install phonenumbers==9.0.43
cat > run.py <<'PY'
import phonenumbers

for text in ("+5215500000012", "+525500000012", "+22507123456", "+22997123456", "+551190000001", "+5511900000001"):
    number = phonenumbers.parse(text)
    print(text, "possible", phonenumbers.is_possible_number(number), "valid", phonenumbers.is_valid_number(number))
PY
"$python" run.py | expect '+5215500000012 possible False valid False
+525500000012 possible True valid True
+22507123456 possible False valid False
+22997123456 possible False valid False
+551190000001 possible True valid False
+5511900000001 possible True valid True'
