"""Real Baileys 7 as a second, independent witness: it talks to neonize through the loopback, both ways."""

from __future__ import annotations

import pytest
import trio

from tests.loopback.loopback import Loopback
from tests.loopback.peers import Peers
from tests.loopback.users import LIDS, PHONES, link, state, until

pytestmark = pytest.mark.slow


async def test_baileys_and_neonize_talk(loopback: Loopback, neonize: Peers, baileys: Peers) -> None:
    """Each decrypts the other's messages, knows number and LID of the sender, and finds what a reply quotes."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(link, loopback, neonize, "a")
        nursery.start_soon(link, loopback, baileys, "b")

    first = await baileys.send("b", PHONES["a"], "hello a")
    by_number = await neonize.event("a", "message")
    second = await neonize.send("a", by_number.chat, "hello b", quoted=by_number)
    reply = await baileys.event("b", "message")
    await baileys.send("b", reply.chat, "and again", quoted=reply)
    by_lid = await neonize.event("a", "message")

    assert (by_number.id, by_number.text, by_number.sender) == (first, "hello a", f"{PHONES['b']}:1@s.whatsapp.net")
    assert by_number.sender_alt == f"{LIDS['b']}:1@lid"
    assert (reply.id, reply.text, reply.sender) == (second, "hello b", f"{LIDS['a']}@lid")
    assert reply.sender_alt == f"{PHONES['a']}@s.whatsapp.net"
    assert (reply.quoted_id, reply.quoted_text) == (first, "hello a")
    assert (by_lid.text, by_lid.quoted_id, by_lid.quoted_text) == ("and again", second, "hello b")
    assert (by_lid.sender, by_lid.sender_alt) == (f"{LIDS['b']}:1@lid", f"{PHONES['b']}:1@s.whatsapp.net")
    assert loopback.counters()["retry_receipts"] == 0


async def test_baileys_links_by_code_and_comes_back(loopback: Loopback, baileys: Peers) -> None:
    """Baileys links by pairing code too, and logs in again with its stored keys and routing data."""
    await baileys.open("c")
    await baileys.event("c", "qr")
    await loopback.confirm_code(PHONES["c"], await baileys.pairing_code("c", PHONES["c"]))
    await baileys.event("c", "connected")
    await baileys.close("c")
    await until(loopback, lambda: not state(loopback, "c").logged_in)

    await baileys.open("c")

    await baileys.event("c", "connected")
    assert (loopback.counters()["pairings"], loopback.counters()["logins"], loopback.counters()["led_back"]) == (
        1,
        2,
        1,
    )
