"""Every kind of message from a company to a real neonize, decrypted there; and a company's other orders to WhatsApp."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from actors.engine.protocol import contents as c
from actors.engine.protocol import messages as p
from tests.engine.companies import linked
from tests.engine.daemon import Link, run_engine
from tests.loopback.loopback import Loopback
from tests.loopback.peers import PeerEvent, Peers, start_neonize
from tests.loopback.server import open_loopback
from tests.loopback.users import LIDS, PHONES
from tests.loopback.users import link as link_peer

pytestmark = pytest.mark.slow

A, B = PHONES["a"], PHONES["b"]
TO_B = f"{B}@s.whatsapp.net"
FILE = b"\xff\xd8\xff\xe0" + bytes(range(256)) * 64
INPUTS = Path(__file__).parents[2] / "inputs"
KINDS: list[c.MediaKind] = ["image", "video", "audio", "document", "sticker"]


@dataclass(frozen=True)
class Pair:
    """A company in an engine process, and a neonize client of another account."""

    company: Link
    peer: Peers
    loopback: Loopback
    directory: Path

    async def send(self, content: c.AnyContent, to: str = TO_B, **fields: Any) -> p.Sent:
        """Send, and check that it was sent."""
        answer = await self.company.call(p.SendContent, to=to, content=content, **fields)
        assert isinstance(answer, p.Sent), answer
        return answer

    async def arrives(self) -> PeerEvent:
        """The next message that the other decrypts, leaving out those with keys only."""
        return await self.peer.event(
            "b", "message", where=lambda event: event.content.keys() != {"senderKeyDistributionMessage"}
        )

    async def upload(self, kind: c.MediaKind, data: bytes = FILE) -> c.StoredFile:
        """Upload a file to WhatsApp."""
        path = self.directory / "upload"
        path.write_bytes(data)
        answer = await self.company.call(p.Upload, path=str(path), kind=kind, timeout_s=20.0)
        assert isinstance(answer, p.Uploaded), answer
        return answer.file


@asynccontextmanager
async def pair_of(directory: Path) -> AsyncGenerator[Pair]:
    """Both are linked and have no session yet."""
    async with (
        open_loopback() as loopback,
        run_engine(directory, loopback.endpoints.environment()) as engine,
        start_neonize(loopback.endpoints, directory) as peers,
    ):
        loopback.add_account(B, LIDS["b"], "b")
        company = await linked(engine, loopback, "a", A)
        await link_peer(loopback, peers, "b")
        yield Pair(company, peers, loopback, directory)


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncGenerator[Pair]:
    """A company and a neonize client."""
    async with pair_of(tmp_path) as made:
        yield made


async def test_places_contacts_and_polls(pair: Pair) -> None:
    """Everything arrives field by field; each may be a reply."""
    quoted = p.QuotedMessage(message_id="3EB0AA", sender=TO_B, text="where?")
    await pair.send(c.Location(latitude=55.75, longitude=37.62, name="Office", address="Street 1"), quoted=quoted)
    place = (await pair.arrives()).content["locationMessage"]
    await pair.send(c.Contact(name="Anna", vcard="BEGIN:VCARD\nVERSION:3.0\nFN:Anna\nEND:VCARD"))
    contact = (await pair.arrives()).content["contactMessage"]
    await pair.send(c.Poll(question="Tea?", options=("yes", "no"), selectable=1))
    poll = (await pair.arrives()).content

    assert (place["degreesLatitude"], place["degreesLongitude"]) == (55.75, 37.62)
    assert (place["name"], place["address"], place["contextInfo"]["stanzaID"]) == ("Office", "Street 1", "3EB0AA")
    assert (contact["displayName"], contact["vcard"].splitlines()[2]) == ("Anna", "FN:Anna")
    assert [one["optionName"] for one in poll["pollCreationMessage"]["options"]] == ["yes", "no"]
    assert poll["pollCreationMessage"]["selectableOptionsCount"] == 1
    assert "messageSecret" in poll["messageContextInfo"]


async def test_changing_what_was_sent(pair: Pair) -> None:
    """A reaction, an edit and a deletion name the message they are about."""
    sent = await pair.company.call(p.SendText, to=TO_B, text="helo", mentions=(TO_B,))
    first = await pair.arrives()
    await pair.send(c.Reaction(message_id=sent.message_id, emoji="👍", sender=None))
    reaction = (await pair.arrives()).content["reactionMessage"]
    await pair.send(c.Edit(message_id=sent.message_id, text="hello"))
    edited = (await pair.arrives()).content
    await pair.send(c.Delete(message_id=sent.message_id, sender=None))
    deleted = (await pair.arrives()).content["protocolMessage"]

    assert first.content["extendedTextMessage"]["contextInfo"]["mentionedJID"] == [TO_B]
    assert (reaction["text"], reaction["key"]["ID"], reaction["key"]["fromMe"]) == ("👍", sent.message_id, True)
    assert "hello" in str(edited)
    assert (deleted["type"], deleted["key"]["ID"]) == ("REVOKE", sent.message_id)


async def test_an_answer_disappears_as_its_chat_does(pair: Pair) -> None:
    """The timer of the chat's last message, also on a file; the caller's own wins; after it is switched off there is none."""
    await pair.peer.send_content("b", A, json.loads((INPUTS / "in_ephemeral_chat.json").read_text()))
    asked = await pair.company.hear_message()
    await pair.company.call(p.SendText, to=asked["chat"]["id"], text="by the id")
    await pair.company.call(p.SendText, to=TO_B, text="by the number")
    await pair.send(c.Location(latitude=1.0, longitude=2.0))
    await pair.company.call(p.SendText, to=TO_B, text="a week", expiration=604_800)
    await pair.company.call(p.SendText, to=TO_B, text="for ever", expiration=0)
    contexts = [_context(await pair.arrives()) for _ in range(5)]
    off = {"protocolMessage": {"type": "EPHEMERAL_SETTING", "ephemeralExpiration": 0}}
    await pair.peer.send_content("b", A, off)
    setting = await pair.company.hear_message()
    await pair.company.call(p.SendText, to=TO_B, text="stays")
    after = await pair.arrives()

    assert (asked["ephemeralExpiration"], asked["ephemeralSettingTimestamp"]) == (86_400, 1_700_000_000)
    day = {"expiration": 86_400, "ephemeralSettingTimestamp": "1700000000"}
    assert contexts == [day, day, day, {"expiration": 604_800}, {}]
    assert (setting["kind"], setting["ephemeralExpiration"]) == ("ephemeral_setting", 0)
    assert after.content["conversation"] == "stays"


def _context(event: PeerEvent) -> dict[str, Any]:
    kinds = ("extendedTextMessage", "locationMessage")
    part: dict[str, Any] = next((event.content[kind] for kind in kinds if kind in event.content), {})
    return dict(part.get("contextInfo", {}))


async def test_only_own_messages_can_be_edited(pair: Pair) -> None:
    """Neither one that never was, nor one of another author."""
    theirs = await pair.peer.send("b", A, "mine")
    await pair.company.hear_message()

    for message_id in ("3EB0FFFF", theirs):
        content = c.Edit(message_id=message_id, text="yours")
        refused = await pair.company.call(p.SendContent, to=TO_B, content=content)
        assert (type(refused), refused.code) == (p.Failed, "no_such_message")


async def test_files_of_each_kind_arrive_byte_for_byte(pair: Pair) -> None:
    """A file is uploaded, and the message's recipient fetches, checks and decrypts it."""
    for kind in KINDS:
        file, caption = await pair.upload(kind), "" if kind in {"audio", "sticker"} else "look"
        sent = await pair.send(c.Media(file=file, caption=caption, voice=kind == "audio"))

        message = await pair.arrives()

        part = message.content[f"{kind}Message"]
        assert (message.id, part.get("caption", ""), part.get("PTT", False)) == (
            sent.message_id,
            caption,
            kind == "audio",
        )
        assert await pair.peer.download("b", message.id) == FILE


async def test_a_file_that_arrives_can_be_fetched(pair: Pair) -> None:
    """The event names it, the data to fetch it come before; a changed or deleted file is refused."""
    fields = await pair.peer.upload("b", "image", FILE)
    await pair.peer.send_content("b", A, {"imageMessage": fields | {"mimetype": "image/jpeg", "caption": "see"}})
    message = await pair.company.hear_message()
    arrived = _arrived(pair.company)
    path = pair.directory / "fetched"

    done = await pair.company.call(p.Download, file=arrived.file, path=str(path), timeout_s=20.0)

    assert isinstance(done, p.Done), done
    assert path.read_bytes() == FILE
    assert message["media"] == {"id": arrived.media_id, "mimetype": "image/jpeg", "size": len(FILE), "caption": "see"}
    assert arrived.message_id == message["messageId"]
    assert hashlib.sha256(FILE).digest() == arrived.file.file_sha256
    pair.loopback.forget_media()
    gone = await pair.company.call(p.Download, file=arrived.file, path=str(path), timeout_s=20.0)
    assert (type(gone), gone.code) == (p.Failed, "media_gone")


async def test_an_upload_that_is_not_taken(pair: Pair) -> None:
    """The media host's refusal, and a file that is not there."""
    pair.loopback.refuse_media(507)
    (pair.directory / "upload").write_bytes(FILE)
    for name in ("upload", "missing"):
        path = str(pair.directory / name)
        refused = await pair.company.call(p.Upload, path=path, kind="image", timeout_s=20.0)
        assert (type(refused), refused.code) == (p.Failed, "upload_failed")


async def test_numbers(pair: Pair) -> None:
    """One with an account and one without."""
    known = await pair.company.call(p.CheckNumber, jid=TO_B, timeout_s=10.0)
    unknown = await pair.company.call(p.CheckNumber, jid="79000000099@s.whatsapp.net", timeout_s=10.0)

    assert (known.exists, known.pn, known.lid) == (True, TO_B, f"{LIDS['b']}@lid")
    assert (unknown.exists, unknown.pn, unknown.lid) == (False, None, None)


async def test_groups(pair: Pair) -> None:
    """A group and its members, messages both ways; an account that is not in the group gets an error that says so."""
    group = pair.loopback.add_group("Sales", [A, B], description="All of us")
    strangers = pair.loopback.add_group("Strangers", [B])
    listed = await pair.company.call(p.ListGroups, timeout_s=10.0)
    asked = await pair.company.call(p.GetGroup, jid=group, timeout_s=10.0)
    await pair.send(c.Location(latitude=1.0, longitude=2.0), to=group)
    heard = await pair.arrives()
    await pair.peer.send("b", group, "all clear")
    answer = await pair.company.hear_message()
    refusals = [
        await pair.company.call(p.GetGroup, jid=strangers, timeout_s=10.0),
        await pair.company.call(p.GetGroup, jid="120363000000099999@g.us", timeout_s=10.0),
        await pair.company.call(p.SendText, to=strangers, text="hi"),
    ]

    assert listed.groups == asked.groups
    assert (asked.groups[0].jid, asked.groups[0].subject, asked.groups[0].description) == (group, "Sales", "All of us")
    assert {member.pn for member in asked.groups[0].members} == {f"{A}@s.whatsapp.net", TO_B}
    assert [member.admin for member in asked.groups[0].members] == [True, False]
    assert (heard.chat, "locationMessage" in heard.content) == (group, True)
    assert (answer["chat"]["id"], answer["chat"]["kind"], answer["text"]) == (group, "group", "all clear")
    assert answer["sender"]["pn"] == TO_B
    assert [refused.code for refused in refusals] == ["not_in_group", "no_such_group", "not_in_group"]


async def test_taken_out_of_a_group_without_notice(pair: Pair) -> None:
    """The library still believes to be in the group; the server's refusal says what is wrong."""
    group = pair.loopback.add_group("Sales", [B, A])
    await pair.send(c.Location(latitude=1.0, longitude=2.0), to=group)
    pair.loopback.remove_member(group, A, silently=True)

    refused = await pair.company.call(p.SendText, to=group, text="hi")

    assert (type(refused), refused.code) == (p.Failed, "not_in_group")


async def test_reading_and_typing(pair: Pair) -> None:
    """The other side learns that its message was read, and sees the typing notice."""
    theirs = await pair.peer.send("b", A, "hello?")
    message = await pair.company.hear_message()
    chat = message["chat"]["id"]
    for state in ("composing", "recording", "paused"):
        assert isinstance(await pair.company.call(p.SetTyping, to=chat, state=state, timeout_s=10.0), p.Done)
        assert (await pair.peer.event("b", "chat_state")).type == state
    read = await pair.company.call(p.MarkRead, chat=chat, message_ids=(theirs,), sender=None, timeout_s=10.0)
    receipt = await pair.peer.event("b", "receipt", where=lambda event: event.type == "read")

    assert isinstance(read, p.Done)
    assert receipt.ids == (theirs,)


def _arrived(link: Link) -> p.MediaArrived:
    found = [one.payload for one in link.said if isinstance(one, p.OutboxEvent) and one.type == "media"]
    return msgspec.json.decode(found[-1], type=p.MediaArrived)
