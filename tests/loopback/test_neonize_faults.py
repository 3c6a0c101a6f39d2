"""The loopback's deliberate faults, as real neonize clients see them."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest
import trio

from tests.loopback.loopback import Loopback
from tests.loopback.peers import PeerError, PeerEvent, Peers
from tests.loopback.users import PHONES, copy_state, greet, link, state, until

pytestmark = pytest.mark.slow
SHORT_S = 0.5
"""How long a test watches that something does not happen; longer than everything that happens here takes."""


async def closed(neonize: Peers, client: str, reason: str) -> PeerEvent:
    """Wait until the client says that its connection ended for this reason."""
    return await neonize.event(client, "closed", where=lambda event: event.reason == reason)


async def test_a_dropped_stream_is_built_again(loopback: Loopback, neonize: Peers) -> None:
    """After a cut cable the client logs in again as the same device."""
    await link(loopback, neonize, "a")

    assert loopback.drop(PHONES["a"]) == 1

    await closed(neonize, "a", "disconnected")
    await until(loopback, lambda: loopback.counters()["logins"] == 2 and state(loopback, "a").listening)
    assert loopback.counters()["pairings"] == 1


async def test_a_busy_server_is_tried_again(loopback: Loopback, neonize: Peers) -> None:
    """Log-ins refused because the server is in trouble are repeated."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(link, loopback, neonize, "a")
        nursery.start_soon(link, loopback, neonize, "b")
    loopback.refuse(500, times=1, phone=PHONES["a"])
    loopback.refuse(503, times=1, phone=PHONES["b"])

    loopback.drop()

    await until(loopback, lambda: loopback.counters()["logins"] == 4)
    assert loopback.counters()["refused_logins"] == 2


async def test_final_refusals_are_told(loopback: Loopback, neonize: Peers) -> None:
    """Refusals that a retry cannot help reach the application, and the client stays away."""
    refusals = {"a": (401, "logged_out"), "b": (403, "logged_out"), "c": (406, "logged_out"), "d": (405, "outdated")}
    async with trio.open_nursery() as nursery:
        for user in refusals:
            nursery.start_soon(link, loopback, neonize, user)
    for user, (code, _) in refusals.items():
        loopback.refuse(code, phone=PHONES[user])

    loopback.drop()

    for user, (_, reason) in refusals.items():
        await closed(neonize, user, reason)
    assert loopback.counters()["refused_logins"] == len(refusals)
    assert not any(device.logged_in for device in loopback.devices())


async def test_an_invalid_token_refusal_panics(loopback: Loopback, neonize: Peers) -> None:
    """neonize 0.5.2 does not survive 413 and 414: the whole process dies, which is why clients live in child processes."""
    await link(loopback, neonize, "a")
    loopback.refuse(413)

    loopback.drop()

    with pytest.raises(PeerError, match="the process has ended"):
        await neonize.event("a", "connected")


async def test_an_unknown_refusal_ends_the_client_silently(loopback: Loopback, neonize: Peers) -> None:
    """neonize 0.5.2 does not know some codes: connect() ends with an error, and no event says why."""
    await link(loopback, neonize, "a")
    loopback.refuse(411)

    loopback.drop()

    assert "ConnectFailure.Reason not set" in (await closed(neonize, "a", "end")).text


async def test_a_ban_names_its_end(loopback: Loopback, neonize: Peers) -> None:
    """A temporary ban reaches the application with the seconds it lasts."""
    await link(loopback, neonize, "a")

    loopback.ban(PHONES["a"], expires_in_s=3600)

    assert (await closed(neonize, "a", "temporary_ban")).expires == 3600


async def test_the_second_log_in_replaces_the_first(loopback: Loopback, neonize: Peers, tmp_path: Path) -> None:
    """Two clients with the same device: the first gets the stream error "replaced", and exactly one stays."""
    await link(loopback, neonize, "a")
    await neonize.close("a")
    copy_state(tmp_path, "a", "thief")
    await neonize.open("a")
    await neonize.event("a", "connected")

    await neonize.open("thief")

    await neonize.event("thief", "connected")
    await closed(neonize, "a", "replaced")
    await until(loopback, lambda: state(loopback, "a").sockets == 1)
    assert loopback.counters()["replaced"] == 1


async def test_a_removed_device_is_logged_out(loopback: Loopback, neonize: Peers) -> None:
    """Unlinked on the phone, the client hears of it, and can be linked again as another device."""
    await link(loopback, neonize, "a")

    loopback.remove_device(PHONES["a"], 1)

    await closed(neonize, "a", "logged_out")
    await neonize.close("a")
    await link(loopback, neonize, "a")
    assert state(loopback, "a").number == 2


async def test_a_device_that_is_gone_is_refused(loopback: Loopback, neonize: Peers) -> None:
    """A device that was unlinked while it was away hears of it at its next log-in."""
    await link(loopback, neonize, "a")
    await neonize.close("a")
    loopback.remove_device(PHONES["a"], 1)

    await neonize.open("a")

    await closed(neonize, "a", "logged_out")
    assert loopback.counters()["refused_logins"] == 1


async def test_another_key_is_refused(loopback: Loopback, neonize: Peers, tmp_path: Path) -> None:
    """Number and device are not enough to log in: the key must be the one that was linked."""
    await link(loopback, neonize, "a")
    await neonize.close("a")
    copy_state(tmp_path, "a", "forger")
    with contextlib.closing(sqlite3.connect(tmp_path / "forger.sqlite3")) as database, database:
        database.execute("UPDATE whatsmeow_device SET noise_key = randomblob(32)")

    await neonize.open("forger")

    await closed(neonize, "forger", "logged_out")
    assert loopback.counters()["refused_logins"] == 1


async def test_a_client_unlinks_itself(loopback: Loopback, neonize: Peers) -> None:
    """A logout removes the device from the account."""
    await link(loopback, neonize, "a")

    await neonize.logout("a")

    assert loopback.devices() == []


async def test_stream_error_503(loopback: Loopback, neonize: Peers) -> None:
    """A server that restarts sends its clients away; they come back."""
    await link(loopback, neonize, "a")

    assert loopback.stream_error(503) == 1

    await until(loopback, lambda: loopback.counters()["logins"] == 2 and state(loopback, "a").listening)


async def test_a_frozen_stream_stays_open(loopback: Loopback, neonize: Peers) -> None:
    """Half-open: a send gets no answer, yet no side closes; cut and thawed, the client sends it again."""
    await link(loopback, neonize, "a")
    await link(loopback, neonize, "b")
    await greet(neonize, "a", "b")
    loopback.freeze(PHONES["a"])

    with trio.move_on_after(SHORT_S) as sending:
        await neonize.send("a", PHONES["b"], "anybody there")

    assert sending.cancelled_caught
    assert state(loopback, "a").sockets == 1
    assert neonize.pending("a", "closed") == []
    loopback.thaw()
    loopback.drop(PHONES["a"])
    assert (await neonize.event("b", "message")).text == "anybody there"


async def test_held_acknowledgements_hold_up_a_send(loopback: Loopback, neonize: Peers) -> None:
    """A send waits for its acknowledgement, however long, and succeeds when it is released."""
    await link(loopback, neonize, "a")
    await link(loopback, neonize, "b")
    await greet(neonize, "a", "b")
    loopback.hold("ack", PHONES["a"])
    sent: list[str] = []

    async def send() -> None:
        sent.append(await neonize.send("a", PHONES["b"], "slow"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        message = await neonize.event("b", "message")
        assert sent == []
        loopback.release()

    assert sent == [message.id]


async def test_held_answers_hold_up_a_log_in(loopback: Loopback, neonize: Peers) -> None:
    """A server that accepts the log-in and then answers nothing leaves the client waiting, until it is released."""
    await link(loopback, neonize, "a")
    loopback.hold("iq", PHONES["a"])
    loopback.drop()
    await until(loopback, lambda: loopback.counters()["logins"] == 2)

    with trio.move_on_after(SHORT_S) as watching:
        await neonize.event("a", "connected")
    assert watching.cancelled_caught
    loopback.release()

    await neonize.event("a", "connected")


async def test_held_messages_come_in_order(loopback: Loopback, neonize: Peers) -> None:
    """Messages that are held back arrive after their release, oldest first."""
    await link(loopback, neonize, "a")
    await link(loopback, neonize, "b")
    await greet(neonize, "a", "b")
    loopback.hold("message", PHONES["b"])
    for text in ("one", "two"):
        await neonize.send("a", PHONES["b"], text)
    assert neonize.pending("b", "message") == []

    loopback.release()

    assert [(await neonize.event("b", "message")).text for _ in range(2)] == ["one", "two"]


async def test_a_cut_before_the_restart_leaves_a_client_linked_and_away(loopback: Loopback, neonize: Peers) -> None:
    """neonize waits for the restart notice for ever: the state that a product needs a deadline for."""
    await neonize.open("a")
    offered = await neonize.event("a", "qr")
    loopback.cut_after_pairing()

    await loopback.scan(PHONES["a"], offered.qr)
    await neonize.event("a", "paired")

    with trio.move_on_after(SHORT_S) as watching:
        await neonize.event("a", "connected")
    assert watching.cancelled_caught
    assert loopback.connections() == 0
