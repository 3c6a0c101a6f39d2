"""A real neonize votes and edits under message secrets; a company in an engine process reads it."""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from actors.engine.protocol import contents as c
from actors.engine.protocol import messages as p
from actors.engine.whatsmeow.library import Library
from tests.engine.whatsmeow.sealing import SECRET, Change
from tests.engine.whatsmeow.test_kinds import A, B, Pair, pair_of
from tests.loopback.users import LIDS

pytestmark = pytest.mark.slow


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncGenerator[Pair]:
    """Both are linked and have no session yet."""
    async with pair_of(tmp_path) as made:
        yield made


async def test_a_vote_in_a_companys_poll_is_in_clear(pair: Pair) -> None:
    """Encrypted by the voter's library, under the secret that the company's library made for the poll."""
    poll = await pair.send(c.Poll(question="Tea?", options=("yes", "no"), selectable=1))
    await pair.arrives()

    await pair.peer.vote("b", A, poll.message_id, ["no"])
    heard = await pair.company.hear_message()

    assert heard["kind"] == "poll_vote"
    assert heard["details"]["pollId"] == poll.message_id
    assert heard["details"]["selected"] == ["no"]


async def test_an_encrypted_edit_is_in_clear(pair: Pair, library: Library) -> None:
    """Under the secret of a text that the company's library has received."""
    secret = {"messageSecret": base64.b64encode(SECRET).decode()}
    old = await pair.peer.send_content("b", A, {"conversation": "helo", "messageContextInfo": secret})
    first = await pair.company.hear_message()
    author = f"{LIDS['b']}@lid"
    inside = library.messages.Message(conversation="hello")

    change = {
        "secretEncType": "MESSAGE_EDIT",
        "targetMessageKey": {"ID": old, "fromMe": True, "remoteJID": f"{B}@s.whatsapp.net"},
    } | Change(old, author, author).encrypt_json("Message Edit", inside)
    await pair.peer.send_content("b", A, {"secretEncryptedMessage": change})
    edited = await pair.company.hear_message()

    assert (first["messageId"], first["text"]) == (old, "helo")
    assert (edited["kind"], edited["editedId"], edited["text"]) == ("edited", old, "hello")
    assert isinstance(await pair.company.call(p.Ping), p.Done)
