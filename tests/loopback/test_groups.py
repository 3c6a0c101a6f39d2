"""Groups: real clients ask who is in one, hand out sender keys, and every member's devices decrypt."""

from __future__ import annotations

import pytest
import trio

from tests.loopback.loopback import Loopback
from tests.loopback.peers import PeerError, PeerEvent, Peers
from tests.loopback.users import LIDS, PHONES, link, state, until

pytestmark = pytest.mark.slow


async def link_all(loopback: Loopback, peers: Peers, users: str) -> None:
    """Link one client for each of these users."""
    async with trio.open_nursery() as nursery:
        for user in users:
            nursery.start_soon(link, loopback, peers, user)


async def hear(peers: Peers, client: str) -> PeerEvent:
    """The next text that a client decrypts; neonize also reports the sender keys that come before."""
    return await peers.event(client, "message", where=lambda event: bool(event.text))


def make_group(loopback: Loopback, users: str, addressing: str = "lid") -> str:
    """A group of these users."""
    return loopback.add_group("Group", [PHONES[user] for user in users], "lid" if addressing == "lid" else "pn")


@pytest.mark.parametrize("addressing", ["lid", "pn"])
async def test_a_group_message_reaches_every_member(loopback: Loopback, neonize: Peers, addressing: str) -> None:
    """Whatever addresses the group uses: each member decrypts, sees author and group; answers come back."""
    await link_all(loopback, neonize, "abc")
    group = make_group(loopback, "abc", addressing)

    sent = await neonize.send("a", group, "hello all")
    first = await hear(neonize, "b")
    other = await hear(neonize, "c")
    await neonize.send("b", group, "hello a and c")
    answers = [await hear(neonize, user) for user in "ac"]

    assert (first.id, first.text, first.chat) == (sent, "hello all", group)
    assert (other.id, other.text, other.chat) == (sent, "hello all", group)
    names = {f"{LIDS['a']}:1@lid", f"{PHONES['a']}:1@s.whatsapp.net"}
    assert {
        first.sender,
        first.sender_alt.replace("@", ":1@") if ":" not in first.sender_alt else first.sender_alt,
    } == names
    assert [answer.text for answer in answers] == ["hello a and c"] * 2
    assert loopback.counters()["retry_receipts"] == 0


async def test_the_sender_key_is_handed_out_once(loopback: Loopback, neonize: Peers) -> None:
    """Every message of a group is one ciphertext for all, readable with the key that came with the first."""
    await link_all(loopback, neonize, "ab")
    group = make_group(loopback, "ab")
    for text in ("one", "two"):
        await neonize.send("a", group, text)

    assert [(await hear(neonize, "b")).text for _ in range(2)] == ["one", "two"]
    assert [one.kind for one in loopback.routed() if one.kind == "skmsg"] == ["skmsg", "skmsg"]


async def test_receipts_of_a_group_go_to_the_writer(loopback: Loopback, neonize: Peers) -> None:
    """The author of a message hears from each member's device that got it."""
    await link_all(loopback, neonize, "abc")
    group = make_group(loopback, "abc")

    sent = await neonize.send("a", group, "hello")

    receipts = [await neonize.event("a", "receipt") for _ in range(2)]
    assert {receipt.sender for receipt in receipts} == {f"{LIDS['b']}:1@lid", f"{LIDS['c']}:1@lid"}
    assert {(receipt.chat, receipt.ids) for receipt in receipts} == {(group, (sent,))}


async def test_who_is_not_in_the_group_cannot_write_to_it(loopback: Loopback, neonize: Peers) -> None:
    """Neither an account that never was a member, nor one that was removed; the client learns of both."""
    await link_all(loopback, neonize, "ab")
    group = make_group(loopback, "a")

    with pytest.raises(PeerError, match="not participating"):
        await neonize.send("b", group, "hello")
    with pytest.raises(PeerError, match="does not exist"):
        await neonize.send("b", "120363999999999999@g.us", "hello")
    loopback.add_member(group, PHONES["b"])
    await neonize.send("b", group, "now I can")
    loopback.remove_member(group, PHONES["b"], silently=True)
    with pytest.raises(PeerError, match="server returned error 403"):
        await neonize.send("b", group, "and now not")


async def test_a_member_that_came_later_gets_the_key(loopback: Loopback, neonize: Peers) -> None:
    """The notice of a new member reaches the author, who hands the sender key to it."""
    await link_all(loopback, neonize, "abc")
    group = make_group(loopback, "ab")
    await neonize.send("a", group, "before")
    loopback.add_member(group, PHONES["c"])
    await until(loopback, lambda: state(loopback, "a").waiting == 0)

    await neonize.send("a", group, "after")

    assert (await hear(neonize, "c")).text == "after"
    assert neonize.pending("c", "undecryptable") == []


async def test_baileys_and_neonize_in_a_group(loopback: Loopback, neonize: Peers, baileys: Peers) -> None:
    """Each library reads the other's sender keys and group messages."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(link, loopback, neonize, "a")
        nursery.start_soon(link, loopback, baileys, "b")
    group = make_group(loopback, "ab")

    first = await neonize.send("a", group, "hello b")
    heard = await hear(baileys, "b")
    second = await baileys.send("b", group, "hello a")
    answer = await hear(neonize, "a")

    assert (heard.id, heard.text, heard.chat, heard.sender) == (first, "hello b", group, f"{LIDS['a']}@lid")
    assert (answer.id, answer.text, answer.chat) == (second, "hello a", group)
    assert answer.sender.startswith(LIDS["b"])
    assert loopback.counters()["retry_receipts"] == 0
