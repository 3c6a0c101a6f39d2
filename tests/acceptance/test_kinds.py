"""Every kind of message from the API to real clients, and files from them to the API; the same for groups."""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from tests.acceptance.peer import Peer, open_peers
from tests.loopback.node.install import NodeMissingError, installed
from tests.loopback.peers import PeerEvent, start_baileys, start_neonize
from tests.loopback.remote import RemoteLoopback
from tests.outbound.receiver import Received, listening
from tests.support.api import SESSIONS, Api
from tests.support.samples import PDF, opus, png, webp
from tests.support.site import Plan, Site, User

A, B, C = (User(number) for number in range(1, 4))
SETTINGS = {
    "RATE_LIMIT_MAX_REQUESTS": "1000",
    "WASUP_OUTBOUND_ALLOW_HTTP": "true",
    "WASUP_OUTBOUND_ALLOWED_NETWORKS": "127.0.0.0/8",
}
PLAN = Plan(companies=(A,), others=(B, C), settings=MappingProxyType(SETTINGS))
BASE = f"{SESSIONS}/{A.company}"
SEND = f"{BASE}/send"


@pytest.fixture
async def neonize(site: Site, loopback: RemoteLoopback) -> AsyncGenerator[Peer]:
    """A real neonize of B's phone."""
    async with open_peers(start_neonize, [B], site, loopback) as (peer,):
        yield peer


@pytest.fixture(scope="module")
def baileys_modules() -> Path:
    """Where Baileys is installed; skips where there is no Node."""
    try:
        return installed()
    except NodeMissingError as error:
        pytest.skip(str(error))


@pytest.fixture
async def baileys(site: Site, loopback: RemoteLoopback, baileys_modules: Path) -> AsyncGenerator[Peer]:
    """A real Baileys of C's phone."""
    async with open_peers(partial(start_baileys, modules=baileys_modules), [C], site, loopback) as (peer,):
        yield peer


async def send(api: Api, to: str, **content: Any) -> str:
    """Send any message; return its message id."""
    return str((await api.post(SEND, {"phone": to, **content}))["messageId"])


async def upload(api: Api, data: bytes, query: str = "") -> str:
    """Upload a file; return its id."""
    answer = await api.call("POST", f"{BASE}/media{query}", content=data)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["mediaId"])


async def arrived(peer: Peer, message_id: str) -> dict[str, Any]:
    """The next message that a client decrypted, leaving out those with keys only."""
    event = await peer.event("message", lambda event: event.id == message_id and not _is_key(event))
    return event.content


def _is_key(event: PeerEvent) -> bool:
    return event.content.keys() == {"senderKeyDistributionMessage"}


async def test_files_reach_neonize(api: Api, neonize: Peer) -> None:
    """An upload is sent twice, and a sticker comes from a URL; each is fetched and decrypted, byte for byte."""
    media_id = await upload(api, PDF, "?fileName=offer.pdf")
    first = await send(api, B.phone, document={"mediaId": media_id, "caption": "as promised"})
    second = await send(api, B.phone, document={"mediaId": media_id, "fileName": "again.pdf"})

    async def answer(_: Received) -> tuple[int, dict[str, str], bytes]:
        return 200, {}, webp()

    async with listening(answer) as host:
        sticker = await send(api, B.phone, sticker={"url": f"http://127.0.0.1:{host.port}/s.webp"})

    documents = [(await arrived(neonize, one))["documentMessage"] for one in (first, second)]
    assert [document["fileName"] for document in documents] == ["offer.pdf", "again.pdf"]
    assert (documents[0]["caption"], documents[0]["mimetype"]) == ("as promised", "application/pdf")
    assert (await arrived(neonize, sticker))["stickerMessage"]["mimetype"] == "image/webp"
    assert [await neonize.download(one) for one in (first, second, sticker)] == [PDF, PDF, webp()]


async def test_files_reach_baileys(api: Api, baileys: Peer) -> None:
    """A picture and a voice note, fetched and decrypted by an independent client."""
    picture = await send(api, C.phone, image={"mediaId": await upload(api, png()), "caption": "look"})
    voice = await send(api, C.phone, audio={"mediaId": await upload(api, opus()), "voice": True})

    image, audio = (await arrived(baileys, picture))["imageMessage"], (await arrived(baileys, voice))["audioMessage"]
    assert (image["caption"], image["mimetype"]) == ("look", "image/png")
    assert (audio["ptt"], audio["seconds"], audio["mimetype"]) == (True, 3, "audio/ogg; codecs=opus")
    assert [await baileys.download(one) for one in (picture, voice)] == [png(), opus()]


async def test_places_contacts_and_polls_reach_baileys(api: Api, baileys: Peer) -> None:
    """Field by field."""
    place = await send(api, C.phone, location={"latitude": 55.5, "longitude": 37.5, "name": "Office"})
    contact = await send(api, C.phone, contact={"name": "Anna", "phone": B.phone})
    poll = await send(api, C.phone, poll={"question": "When?", "options": ["now", "later"], "selectable": 1})

    location = (await arrived(baileys, place))["locationMessage"]
    assert (location["degreesLatitude"], location["degreesLongitude"], location["name"]) == (55.5, 37.5, "Office")
    assert f"waid={B.phone}" in (await arrived(baileys, contact))["contactMessage"]["vcard"]
    options = (await arrived(baileys, poll))["pollCreationMessage"]["options"]
    assert [option["optionName"] for option in options] == ["now", "later"]


async def test_what_was_sent_is_changed(api: Api, neonize: Peer) -> None:
    """A reaction, an edit and a deletion name the message; one that was never sent cannot be edited."""
    message_id = await api.send(A.company, B.phone, "helo")
    reaction = await send(api, B.phone, reaction={"messageId": message_id, "emoji": "👍", "fromMe": True})
    edit = await send(api, B.phone, edit={"messageId": message_id, "message": "hello"})
    deletion = await send(api, B.phone, delete={"messageId": message_id})
    refused = await api.call("POST", SEND, json={"phone": B.phone, "edit": {"messageId": "3EB0FF", "message": "x"}})

    reacted = (await arrived(neonize, reaction))["reactionMessage"]
    assert (reacted["text"], reacted["key"]["ID"]) == ("👍", message_id)
    assert "hello" in str(await arrived(neonize, edit))
    assert (await arrived(neonize, deletion))["protocolMessage"]["key"]["ID"] == message_id
    assert (refused.status_code, refused.json()["code"]) == (404, "no_such_message")


async def test_a_group(api: Api, loopback: RemoteLoopback, neonize: Peer, baileys: Peer) -> None:
    """Listed with its members; text with a mention and a file reach them all; an answer comes back; strangers are refused."""
    group = await loopback.add_group("Sales", [A.phone, B.phone, C.phone])
    strangers = await loopback.add_group("Strangers", [B.phone])
    listed = await api.get(f"{BASE}/groups")
    described = await api.get(f"{BASE}/groups/{group}")
    text = await send(api, group, message=f"@{B.lid} look", options={"mentions": [B.lid_jid]})
    picture = await send(api, group, image={"mediaId": await upload(api, png())})
    heard = [(await arrived(peer, text))["extendedTextMessage"] for peer in (neonize, baileys)]
    answer_id = await baileys.send_content(group, {"text": "nice"})
    answer = await api.event(A.company, "message", where=lambda payload: bool(payload["messageId"] == answer_id))
    refused = await api.call("POST", SEND, json={"phone": strangers, "message": "hi"})

    assert [one["id"] for one in listed["groups"]] == [group]
    assert {member["pn"] for member in described["members"]} == {A.pn_jid, B.pn_jid, C.pn_jid}
    assert [one["text"] for one in heard] == [f"@{B.lid} look"] * 2
    assert heard[0]["contextInfo"]["mentionedJID"] == heard[1]["contextInfo"]["mentionedJid"] == [B.lid_jid]
    for peer in (neonize, baileys):
        await arrived(peer, picture)
        assert await peer.download(picture) == png()
    assert (answer["payload"]["chat"]["id"], answer["payload"]["sender"]["pn"]) == (group, C.pn_jid)
    assert (refused.status_code, refused.json()["code"]) == (409, "not_in_group")


async def test_files_that_come_are_fetched(api: Api, site: Site, neonize: Peer, baileys: Peer) -> None:
    """From either client, also after a restart of the daemon, until WhatsApp has deleted them; never without a key."""
    fields = await neonize.upload("document", PDF)
    document = {"documentMessage": fields | {"mimetype": "application/pdf", "fileName": "a.pdf"}}
    first = await api.message(A.company, await neonize.send_content(A.phone, document))
    image = {"image": {"base64": base64.b64encode(png()).decode()}, "caption": "see"}
    second = await api.message(A.company, await baileys.send_content(A.phone, image))
    await site.daemon.stop()
    await site.daemon.restart()
    await api.wait_connected(A.company)
    urls = [f"{BASE}/media/{message['media']['id']}" for message in (first, second)]

    files = [await api.call("GET", url) for url in urls]

    assert [file.content for file in files] == [PDF, png()]
    assert (first["kind"], first["media"]["fileName"], second["text"]) == ("document", "a.pdf", "see")
    assert [file.headers["content-type"] for file in files] == ["application/pdf", "image/jpeg"]
    assert (await api.call("GET", urls[0], key="wrong")).status_code == 401


async def test_whatsapp_refuses_files(api: Api, loopback: RemoteLoopback, neonize: Peer) -> None:
    """An upload that it does not accept, and a file that it has deleted."""
    await loopback.fault("refuse_media", status=507)
    refused = await api.call("POST", f"{BASE}/media", content=png())
    fields = await neonize.upload("image", png())
    content = {"imageMessage": fields | {"mimetype": "image/png"}}
    message = await api.message(A.company, await neonize.send_content(A.phone, content))
    await loopback.fault("forget_media")
    gone = await api.call("GET", f"{BASE}/media/{message['media']['id']}")

    assert (refused.status_code, refused.json()["code"]) == (502, "media_upload_failed")
    assert (gone.status_code, gone.json()["code"]) == (410, "media_gone")


async def test_numbers_reading_and_typing(api: Api, neonize: Peer) -> None:
    """Who is on WhatsApp; the other side sees that its message was read, and the typing notice."""
    known = await api.get(f"{BASE}/contacts/+{B.phone}")
    unknown = await api.get(f"{BASE}/contacts/+79000000099")
    message = await api.message(A.company, await neonize.send(A, "hello?"))
    await api.post(f"{BASE}/typing", {"phone": B.phone, "state": "composing"})
    typing = await neonize.event("chat_state", lambda _: True)
    chat = message["chat"]["id"]
    await api.post(f"{BASE}/read", {"phone": chat, "messageIds": [message["messageId"]]})
    receipt = await neonize.event("receipt", lambda event: event.type == "read")

    assert (known["onWhatsapp"], known["id"], known["lid"]) == (True, B.pn_jid, B.lid_jid)
    assert unknown["onWhatsapp"] is False
    assert typing.type == "composing"
    assert receipt.ids == (message["messageId"],)


async def test_a_number_in_another_form_than_the_accounts(api: Api, loopback: RemoteLoopback, neonize: Peer) -> None:
    """As Brazilians dial: the message reaches the account that WhatsApp names, and a look-up returns that account's id."""
    await loopback.dial("5551991234567", B.phone)
    message_id = await send(api, "+5551991234567", message="hello")
    heard = await neonize.event("message", lambda event: event.id == message_id)
    contact = await api.get(f"{BASE}/contacts/+5551991234567")
    hidden = await api.get(f"{BASE}/contacts/{B.lid_jid}")
    nobody = await api.call("POST", SEND, json={"phone": "+5551990000000", "message": "x"})

    assert heard.text == "hello"
    assert (contact["phone"], contact["id"], contact["lid"]) == ("+5551991234567", B.pn_jid, B.lid_jid)
    assert hidden["id"] == B.pn_jid
    assert (nobody.status_code, nobody.json()["code"]) == (422, "recipient_not_on_whatsapp")
    assert "names no account" in nobody.json()["detail"]
