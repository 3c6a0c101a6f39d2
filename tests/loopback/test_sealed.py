"""What real clients seal under an earlier message's secret, sent by a real neonize client."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from typing import Any

import pytest
import trio
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.loopback.loopback import Loopback
from tests.loopback.message_secrets import Kind, Original, seal
from tests.loopback.peers import Peers, SealedFor
from tests.loopback.users import LIDS, PHONES, link

A_LID, B_LID = f"{LIDS['a']}@lid", f"{LIDS['b']}@lid"
TEXT = {"protocolMessage": {"type": "MESSAGE_EDIT", "editedMessage": {"conversation": "edited"}}}
SEALED: Mapping[Kind, tuple[str, str, dict[str, Any]]] = {
    "edit": ("secretEncryptedMessage", "Message Edit", TEXT),
    "event_edit": ("secretEncryptedMessage", "Event Edit", {"eventMessage": {"name": "later"}}),
    "reaction": ("encReactionMessage", "Enc Reaction", {"text": "+1"}),
    "comment": ("encCommentMessage", "Enc Comment", {"conversation": "a comment"}),
    "event_response": ("encEventResponseMessage", "Event Response", {"response": "GOING", "timestampMS": "1"}),
}


def opened(sealed: Mapping[str, str], original: Original, sender: str, use: str) -> bytes:
    """Decrypt as whatsmeow does: HKDF with a salt of zeros, written out."""
    extracted = hmac.digest(bytes(32), original.secret, "sha256")
    info = f"{original.id}{original.sender}{sender}{use}".encode()
    key = hmac.digest(extracted, info + b"\1", "sha256")
    bound = f"{original.id}\0{sender}".encode() if use in ("Poll Vote", "Event Response") else None
    return AESGCM(key).decrypt(base64.b64decode(sealed["encIV"]), base64.b64decode(sealed["encPayload"]), bound)


async def both_linked(loopback: Loopback, neonize: Peers) -> None:
    """Clients a and b are connected."""
    async with trio.open_nursery() as nursery:
        for user in "ab":
            nursery.start_soon(link, loopback, neonize, user)


def with_secret(content: dict[str, Any], secret: bytes) -> dict[str, Any]:
    """A message with its secret, as every real client sends it."""
    return content | {"messageContextInfo": {"messageSecret": base64.b64encode(secret).decode()}}


@pytest.mark.slow
@pytest.mark.parametrize("by", [A_LID, f"{PHONES['a']}@s.whatsapp.net"])
async def test_everything_sealed_arrives_and_opens(loopback: Loopback, neonize: Peers, by: str) -> None:
    """Edit, reaction, comment and answer to an event of one's own message, sealed for its sender's LID or number."""
    await both_linked(loopback, neonize)
    secret = secrets.token_bytes(32)
    id_ = await neonize.send_content("a", PHONES["b"], with_secret({"conversation": "first"}, secret))
    first = await neonize.event("b", "message")
    original = SealedFor(id_, by, secret, chat=B_LID)

    for kind, (field, use, content) in SEALED.items():
        await neonize.send_sealed("a", PHONES["b"], kind, content, original, by=by)
        received = (await neonize.event("b", "message")).content[field]
        key = received.get("targetMessageKey") or received["eventCreationMessageKey"]
        assert (key["ID"], key["fromMe"]) == (first.id, True)
        assert opened(received, Original(id_, by, secret), by, use)


@pytest.mark.slow
async def test_a_vote_is_decrypted_by_whatsmeow(loopback: Loopback, neonize: Peers) -> None:
    """A poll of b's, a vote of a's: b's real whatsmeow finds the secret by itself and reads what was chosen."""
    await both_linked(loopback, neonize)
    secret = secrets.token_bytes(32)
    options = [{"optionName": name} for name in ("yes", "no")]
    poll = {"pollCreationMessage": {"name": "Well?", "options": options, "selectableOptionsCount": 1}}
    id_ = await neonize.send_content("b", PHONES["a"], with_secret(poll, secret))
    asked = await neonize.event("a", "message")
    chosen = hashlib.sha256(b"yes").digest()

    vote = {"selectedOptions": [base64.b64encode(chosen).decode()]}
    original = SealedFor(id_, B_LID, secret, chat=B_LID, from_me=False)
    await neonize.send_sealed("a", PHONES["b"], "vote", vote, original, by=A_LID)
    received = await neonize.event("b", "message")

    assert asked.content["pollCreationMessage"]["name"] == "Well?"
    assert await neonize.decrypt_vote("b", received.id) == [chosen]


def test_a_secret_of_another_size_is_refused() -> None:
    """The error names the right size."""
    with pytest.raises(ValueError, match="32 bytes, not 3"):
        seal("edit", Original("id", A_LID, b"abc"), A_LID, b"")
