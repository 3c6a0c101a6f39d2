#!/usr/bin/env bash
# Guess:   oneOf with two lists of required names narrows an object ("a text or an image"); its properties stay what they are.
# Happens: openapi-python-client makes no class of such an object. The body of the operation is typed Any, with no warning; without the oneOf the same
#          object is a class with its three properties.
# Matters: it is the way of JSON Schema to say "one of these two", and it costs the users of the most used Python generator all names and types of a
#          message. Whoever publishes a description has to write the variants out or leave the rule to prose.
. "$(dirname "$0")/lib/setup"
pip_install openapi-python-client==0.29.1
describe() {
    cat <<JSON
{"openapi": "3.1.0", "info": {"title": "$1", "version": "1"},
 "paths": {"/send": {"post": {"operationId": "send", "responses": {"204": {"description": "sent"}},
  "requestBody": {"required": true, "content": {"application/json": {"schema": {"\$ref": "#/components/schemas/Send"}}}}}}},
 "components": {"schemas": {"Send": {"type": "object", "required": ["phone"]$2,
  "properties": {"phone": {"type": "string"}, "text": {"type": "string"}, "image": {"type": "string"}}}}}}
JSON
}
describe plain '' > plain.json
describe narrowed ', "oneOf": [{"required": ["text"]}, {"required": ["image"]}]' > narrowed.json
for name in plain narrowed; do
    "$python" -m openapi_python_client generate --path "$name.json" --meta none --output-path "$name" >log 2>&1 || { cat log; exit 1; }
    echo "$name: $(grep -om1 'body: [A-Za-z]*' "$name/api/default/send.py"), class Send: $(test -f "$name/models/send.py" && echo yes || echo no)," \
        "warnings: $(grep -c WARNING log || true)"
done | expect 'plain: body: Send, class Send: yes, warnings: 0
narrowed: body: Any, class Send: no, warnings: 0'
