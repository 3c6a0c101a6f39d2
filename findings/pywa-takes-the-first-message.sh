#!/usr/bin/env bash
# Guess:   WhatsApp's Cloud API puts entries, changes and messages into lists and pywa answers 200, so every message of a delivery is handled.
# Happens: only the first message of the first change of the first entry reaches a handler. The answer is 200 all the same, and nothing is logged.
# Matters: a 200 means that Meta does not deliver it again. What comes in one piece, for two numbers of an account or after an outage, is lost but
#          for its first message. A gateway in front of pywa has to send it one message at a time.
. "$(dirname "$0")/lib/setup"
pip_install pywa==4.5.0 starlette==1.10.0 httpx==0.28.1
cat > run.py <<'PY'
import asyncio
import warnings

import httpx
from pywa import WhatsApp
from starlette.applications import Starlette

warnings.simplefilter("ignore")
app = Starlette()
whatsapp = WhatsApp(phone_id="1", token="t", server=app, verify_token="v", validate_updates=False)
handled = []


@whatsapp.on_message
def note(_, message):
    handled.append(message.text)


def change(*texts):
    metadata = {"display_phone_number": "79000000002", "phone_number_id": "1"}
    contact = {"profile": {"name": "Ann"}, "wa_id": "79000000001", "user_id": "RU.1"}
    sender = {"from": "79000000001", "from_user_id": "RU.1", "timestamp": "1700000000", "type": "text"}
    messages = [{**sender, "id": f"wamid.{text}", "text": {"body": text}} for text in texts]
    value = {"messaging_product": "whatsapp", "metadata": metadata, "contacts": [contact], "messages": messages}
    return {"field": "messages", "value": value}


def entry(*changes):
    return {"id": "2", "changes": changes}


async def main():
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        for name, entries in (
            ("two messages", [entry(change("a", "b"))]),
            ("two changes", [entry(change("c"), change("d"))]),
            ("two entries", [entry(change("e")), entry(change("f"))]),
        ):
            handled.clear()
            body = {"object": "whatsapp_business_account", "entry": entries}
            answer = await client.post("/", json=body, headers={"X-Hub-Signature-256": "sha256="})
            await asyncio.sleep(1)
            print(name, answer.status_code, handled)


asyncio.run(main())
PY
timeout 60 "$python" run.py 2>errors.log | expect "two messages 200 ['a']
two changes 200 ['c']
two entries 200 ['e']"
