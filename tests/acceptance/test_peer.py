"""A peer sends no faster than it could repeat its messages."""

from __future__ import annotations

from typing import cast

import pytest
import trio
from trio.testing import MockClock

from tests.acceptance.peer import DELIVERED_WITHIN_S, REPEATABLE, Peer
from tests.loopback.peers import Peers
from tests.loopback.remote import RemoteLoopback
from tests.support.site import User

FROM, TO = User(1), User(2)


class Held:
    """A client that numbers its texts, and a WhatsApp that holds what the test put there."""

    def __init__(self) -> None:
        self.held: list[str] = []
        self._sent = 0

    async def send(self, *_: object, **__: object) -> str:
        await trio.lowlevel.checkpoint()
        self._sent += 1
        return str(self._sent)

    async def undelivered(self) -> list[str]:
        await trio.lowlevel.checkpoint()
        return self.held


async def peer_that_sent(count: int, world: Held) -> Peer:
    """A peer of that world."""
    peer = Peer(FROM, cast("Peers", world), cast("RemoteLoopback", world))
    for number in range(count):
        await peer.send(TO, f"text {number}")
    return peer


async def test_it_waits_until_the_oldest_text_is_delivered(autojump_clock: MockClock) -> None:
    """When the oldest text that WhatsApp holds is the last that could be sent anew, the next waits until it is delivered."""
    world = Held()
    world.held = ["1", "somebody else's"]
    peer = await peer_that_sent(REPEATABLE, world)
    with trio.move_on_after(60.0) as waiting:
        await peer.wait_repeatable()
    world.held = ["2"]
    with trio.move_on_after(60.0) as no_longer:
        await peer.wait_repeatable()

    assert waiting.cancelled_caught
    assert not no_longer.cancelled_caught


async def test_it_does_not_wait_while_little_is_under_way(autojump_clock: MockClock) -> None:
    """Below that many texts, no recipient is asked."""
    world = Held()
    world.held = ["1"]
    peer = await peer_that_sent(REPEATABLE - 1, world)
    before = trio.current_time()
    await peer.wait_repeatable()

    assert trio.current_time() == before


async def test_a_text_that_is_never_delivered_is_told(autojump_clock: MockClock) -> None:
    """The wait has an end."""
    world = Held()
    world.held = ["1"]
    peer = await peer_that_sent(REPEATABLE, world)
    before = trio.current_time()
    with pytest.raises(AssertionError, match="in vain for texts to be delivered"):
        await peer.wait_repeatable()

    assert trio.current_time() - before >= DELIVERED_WITHIN_S
