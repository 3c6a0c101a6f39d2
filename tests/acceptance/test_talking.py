"""Companies are linked, each in its own way, and any of them can talk to any other."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from functools import partial
from pathlib import Path

import pytest

from tests.acceptance.peer import Peer, open_peers
from tests.loopback.node.install import NodeMissingError, installed
from tests.loopback.peers import start_baileys
from tests.loopback.remote import RemoteLoopback
from tests.support.api import SESSIONS, Api
from tests.support.site import Plan, Site, User

A, B, BY_QR, BY_CODE, OUTSIDER = (User(number) for number in range(1, 6))
PLAN = Plan(companies=(A, B), others=(BY_QR, BY_CODE, OUTSIDER))


@pytest.fixture(scope="module")
def baileys_modules() -> Path:
    """Where Baileys is installed; skips where there is no Node."""
    try:
        return installed()
    except NodeMissingError as error:
        pytest.skip(str(error))


@pytest.fixture
async def baileys(site: Site, loopback: RemoteLoopback, baileys_modules: Path) -> AsyncGenerator[Peer]:
    """A real Baileys client of the outsider's phone, connected."""
    start = partial(start_baileys, modules=baileys_modules)
    async with open_peers(start, [OUTSIDER], site, loopback) as (peer,):
        yield peer


async def test_a_company_is_linked_by_qr(api: Api, loopback: RemoteLoopback) -> None:
    """`initialize` offers a QR code in three forms; after the scan the company is connected, and there is an event for each step."""
    offered = await api.post(f"{SESSIONS}/{BY_QR.company}/initialize", {"method": "qr"})
    picture = await api.call("GET", f"{SESSIONS}/{BY_QR.company}/qr", headers={"Accept": "image/png"})
    await loopback.scan(BY_QR.phone, offered["qr"])
    await api.wait_connected(BY_QR.company)

    assert offered["qrDataUrl"].startswith("data:image/png;base64,")
    assert "▀" in offered["qrTerminal"]
    assert picture.content.startswith(b"\x89PNG")
    assert await _told(api, BY_QR, "qr") == [offered["qr"]]
    await _assert_linked(api, BY_QR)


async def test_a_company_is_linked_by_pairing_code(api: Api, loopback: RemoteLoopback) -> None:
    """`initialize` with a phone number gives a code; typed into that phone, the company is connected."""
    body = {"method": "code", "phone": f"+{BY_CODE.phone}"}
    offered = await api.post(f"{SESSIONS}/{BY_CODE.company}/initialize", body)
    await loopback.confirm_code(BY_CODE.phone, offered["pairingCode"])
    await api.wait_connected(BY_CODE.company)

    assert await _told(api, BY_CODE, "pairingCode", kind="pairing_code") == [offered["pairingCode"]]
    await _assert_linked(api, BY_CODE)


@pytest.mark.parametrize(("sender", "recipient"), [(A, B), (B, A)], ids=["A to B", "B to A"])
async def test_a_text_arrives_with_phone_number_and_hidden_id(api: Api, sender: User, recipient: User) -> None:
    """A text sent by one company is an event of the other, with both addresses of the sender, and of the chat."""
    text = f"from {sender.company}: приветствие 👋"
    message_id = await api.send(sender.company, f"+{recipient.phone}", text)
    message = await api.message(recipient.company, message_id)

    assert message["text"] == text
    assert (message["kind"], message["fromMe"]) == ("text", False)
    assert (message["chat"]["pn"], message["chat"]["lid"]) == (sender.pn_jid, sender.lid_jid)
    assert (message["sender"]["pn"], message["sender"]["lid"]) == (sender.pn_jid, sender.lid_jid)


async def test_a_delivered_text_has_a_receipt(api: Api) -> None:
    """The sender hears that its text reached the other's device."""
    message_id = await api.send(A.company, B.phone, "tell me when it is there")

    await api.event(A.company, "receipt", where=lambda payload: message_id in payload["messageIds"])


async def test_baileys_replies_to_a_company(api: Api, baileys: Peer) -> None:
    """A real Baileys decrypts a company's text, and its reply is an event that names the text it quotes."""
    question_id = await api.send(A.company, OUTSIDER.phone, "a question")
    question = await baileys.message(question_id)
    reply_id = await baileys.send(A, "an answer", quoted=question)
    reply = await api.message(A.company, reply_id)

    assert question.text == "a question"
    assert (reply["text"], reply["quotedId"]) == ("an answer", question_id)
    assert (reply["sender"]["pn"], reply["sender"]["lid"]) == (OUTSIDER.pn_jid, OUTSIDER.lid_jid)


async def test_a_company_replies_to_baileys(api: Api, baileys: Peer) -> None:
    """A reply sent with `quoted` quotes, for a real Baileys, the text that it had sent."""
    question_id = await baileys.send(A, "a question")
    question = await api.message(A.company, question_id)
    quoted = {"messageId": question_id, "text": question["text"]}
    reply_id = await api.send(A.company, question["sender"]["id"], "an answer", options={"quoted": quoted})
    reply = await baileys.message(reply_id)

    assert (reply.text, reply.quoted_id, reply.quoted_text) == ("an answer", question_id, "a question")


async def _told(api: Api, user: User, field: str, *, kind: str | None = None) -> list[str]:
    return [event["payload"][field] for event in await api.events(company=user.company, kind=kind or field)]


async def _assert_linked(api: Api, user: User) -> None:
    status = await api.status(user.company)
    connected = await api.event(user.company, "connected")
    health = await api.get(f"{SESSIONS}/{user.company}/health")

    assert await _told(api, user, "status") == ["connecting", "pairing", "connecting", "connected"]
    assert (status["status"], status["phoneNumber"]) == ("connected", f"+{user.phone}")
    assert connected["payload"]["phoneNumber"] == f"+{user.phone}"
    assert health["healthy"] is True
