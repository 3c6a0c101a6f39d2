"""Real neonize clients link, log in, and exchange decrypted messages through the loopback."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from tests.loopback.loopback import Loopback
from tests.loopback.pairing import PairingError
from tests.loopback.peers import PeerError, Peers
from tests.loopback.users import LIDS, PHONES, copy_state, greet, link, state, until

pytestmark = pytest.mark.slow


async def test_linking_by_qr(loopback: Loopback, neonize: Peers) -> None:
    """A scanned QR code makes a device that logs in after the restart and leaves its 812 pre-keys."""
    await link(loopback, neonize, "a")

    device = state(loopback, "a")
    assert (device.jid, device.lid) == (f"{PHONES['a']}:1@s.whatsapp.net", f"{LIDS['a']}:1@lid")
    assert (device.one_time_keys, device.sockets) == (812, 1)
    assert (loopback.counters()["pairings"], loopback.counters()["logins"]) == (1, 1)


async def test_linking_by_code(loopback: Loopback, neonize: Peers) -> None:
    """A pairing code typed into the phone links the client that asked for it."""
    await neonize.open("a")
    await neonize.event("a", "qr")
    code = await neonize.pairing_code("a", PHONES["a"])

    jid = await loopback.confirm_code(PHONES["a"], code)

    assert jid == f"{PHONES['a']}:1@s.whatsapp.net"
    assert (await neonize.event("a", "paired")).jid == jid
    await neonize.event("a", "connected")


async def test_a_wrong_code_links_nothing(loopback: Loopback, neonize: Peers) -> None:
    """The key exchange detects a mistyped code."""
    await neonize.open("a")
    await neonize.event("a", "qr")
    code = await neonize.pairing_code("a", PHONES["a"])
    mistyped = ("2" if code[0] == "1" else "1") + code[1:]

    with pytest.raises(PairingError, match="the code is wrong"):
        await loopback.confirm_code(PHONES["a"], mistyped)
    assert loopback.devices() == []


async def test_codes_that_belong_to_nobody(loopback: Loopback, neonize: Peers) -> None:
    """An expired or forged QR code and a pairing code that no client requested are refused with a reason."""
    await neonize.open("a")
    offered = (await neonize.event("a", "qr")).qr
    ref, noise_key, identity, secret, *rest = offered.split(",")
    forged = ",".join([ref, identity, noise_key, secret, *rest])

    with pytest.raises(PairingError, match="other keys"):
        await loopback.scan(PHONES["a"], forged)
    with pytest.raises(PairingError, match="no client asked"):
        await loopback.confirm_code(PHONES["a"], "ABCD-1234")
    loopback.expire_qr()
    await until(loopback, lambda: loopback.unlinked() == 0)
    with pytest.raises(PairingError, match="expired"):
        await loopback.scan(PHONES["a"], offered)


async def test_messages_both_ways(loopback: Loopback, neonize: Peers) -> None:
    """Messages and a quoted reply arrive decrypted, from a LID with the phone number beside it; a receipt comes back."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(link, loopback, neonize, "a")
        nursery.start_soon(link, loopback, neonize, "b")

    sent = await neonize.send("a", PHONES["b"], "hello b")
    message = await neonize.event("b", "message")
    await neonize.send("b", message.chat, "hello a", quoted=message)
    reply = await neonize.event("a", "message")
    receipt = await neonize.event("a", "receipt")

    assert (message.id, message.text, message.from_me) == (sent, "hello b", False)
    assert message.sender == f"{LIDS['a']}:1@lid"
    assert message.sender_alt == f"{PHONES['a']}:1@s.whatsapp.net"
    assert (reply.text, reply.quoted_id, reply.quoted_text) == ("hello a", sent, "hello b")
    assert (receipt.ids, receipt.sender) == ((sent,), f"{LIDS['b']}:1@lid")
    assert loopback.counters()["retry_receipts"] == 0


async def test_a_stranger_cannot_be_written_to(loopback: Loopback, neonize: Peers) -> None:
    """A number that is not on WhatsApp has no LID, so that the client refuses to send."""
    await link(loopback, neonize, "a")

    with pytest.raises(PeerError, match="no LID found"):
        await neonize.send("a", "79000000099", "hello")


async def test_all_devices_of_both_sides_hear(loopback: Loopback, neonize: Peers) -> None:
    """The sender's other device sees the message as its own; a device linked later is found by the next message but one."""
    await link(loopback, neonize, "a")
    await link(loopback, neonize, "a", "a2")
    await link(loopback, neonize, "b")
    await greet(neonize, "a", "b", "first")
    own = await neonize.event("a2", "message")
    await link(loopback, neonize, "b", "b2")

    await greet(neonize, "a", "b", "second")
    await greet(neonize, "a", "b", "third")

    assert (own.text, own.from_me, own.chat) == ("first", True, f"{LIDS['b']}@lid")
    assert (await neonize.event("b2", "message")).text == "third"


async def test_messages_wait_for_a_device_that_is_away(loopback: Loopback, neonize: Peers) -> None:
    """What was sent meanwhile arrives in order after a log-in with the same device, without a QR, and is then forgotten."""
    await link(loopback, neonize, "a")
    await link(loopback, neonize, "b")
    await greet(neonize, "a", "b")
    await until(loopback, lambda: state(loopback, "b").waiting == 0)  # its acknowledgement comes after it is read
    await neonize.close("b")
    await until(loopback, lambda: not state(loopback, "b").logged_in)
    texts = ["one", "two", "three"]
    ids = [await neonize.send("a", PHONES["b"], text) for text in texts]
    waited = loopback.undelivered()

    await neonize.open("b")

    assert [(await neonize.event("b", "message")).text for _ in texts] == texts
    assert neonize.pending("b", "qr") == []
    await until(loopback, lambda: state(loopback, "b").waiting == 0)
    assert (waited, loopback.undelivered()) == (ids, [])
    assert loopback.counters()["pairings"] == 2


async def test_what_was_not_acknowledged_comes_again(loopback: Loopback, neonize: Peers) -> None:
    """A message that was lost on a broken stream is delivered on the next."""
    await link(loopback, neonize, "a")
    await link(loopback, neonize, "b")
    loopback.freeze(PHONES["b"])
    await neonize.send("a", PHONES["b"], "into the void")
    loopback.drop(PHONES["b"])
    await neonize.event("b", "closed")
    assert neonize.pending("b", "message") == []
    loopback.thaw(PHONES["b"])

    assert (await neonize.event("b", "message")).text == "into the void"


async def test_a_forked_session_heals_by_retry_receipts(loopback: Loopback, neonize: Peers, tmp_path: Path) -> None:
    """A client put back to an old copy of its state cannot decrypt, asks again, and gets the message."""
    await link(loopback, neonize, "a")
    await link(loopback, neonize, "b")
    await greet(neonize, "a", "b")
    await neonize.close("b")
    copy_state(tmp_path, "b", "old-b")
    await neonize.open("b")
    await neonize.event("b", "connected")
    for _ in range(2):
        await greet(neonize, "b", "a")
        await greet(neonize, "a", "b")
    await until(loopback, lambda: state(loopback, "b").waiting == 0)
    await neonize.close("b")
    await neonize.open("old-b")
    await neonize.event("old-b", "connected")

    await neonize.send("a", PHONES["b"], "again please")

    assert (await neonize.event("old-b", "message")).text == "again please"
    assert loopback.counters()["retry_receipts"] >= 1
    assert any(routed.retry for routed in loopback.routed())
