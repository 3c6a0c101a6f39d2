#!/usr/bin/env bash
# Guess:   a fetch client that orval types as Blob for an answer of image/png returns a Blob.
# Happens: the client reads every body as text and calls JSON.parse on it. The type still says Blob, so the compiler is content, and each picture is
#          a SyntaxError where it is fetched.
# Matters: QR codes and media files come from the same API as everything else, and nothing before the first real call shows that they cannot be
#          fetched by the generated function. They need one written by hand.
. "$(dirname "$0")/lib/setup"
npm_install orval@7.21.0
cat > api.json <<'JSON'
{"openapi": "3.1.0", "info": {"title": "t", "version": "1"}, "paths": {"/qr": {"get": {"operationId": "qr", "responses": {
  "200": {"description": "a picture", "content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}}}}}}}
JSON
npx orval --input api.json --output client.ts --client fetch >orval.log 2>&1 || { cat orval.log; exit 1; }
{
    echo "type: $(grep -A1 'type qrResponse200' client.ts | grep -o 'data: .*')"
    grep -o 'await res\.text()\|JSON\.parse(body)\|res\.blob()' client.ts
} | expect 'type: data: Blob
await res.text()
JSON.parse(body)'
