"""What a company does when WhatsApp, the engine or its lease fail it."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from actors.engine import protocol
from actors.messages import (
    CompanyState,
    Initialize,
    LeaseWasLost,
    Refused,
)
from actors.storage.requests import AcquireLease, ArchiveAuth
from storage.errors import BrokenSeal
from tests.actors.fakes import World
from tests.actors.running import COMPANY, company


async def test_an_engine_that_dies_is_expected_trouble(autojump_clock: MockClock) -> None:
    """The actor does not crash: it reconnects through a new engine connection within seconds."""
    world = World()
    async with company(world) as running:
        await running.settle()
        world.engine.die()
        await trio.sleep(3)
        status = await running.settle()

        assert (status.status, status.restarts, world.engine.opened) == (CompanyState.CONNECTED, 0, 2)
        assert "disconnected" in world.event_types()


async def test_a_lost_stream_is_tried_again_with_back_off(autojump_clock: MockClock) -> None:
    """`reconnecting` with a time for the next attempt, then connected again on the same engine connection."""
    world = World()
    async with company(world) as running:
        await running.settle()
        world.engine.say(protocol.Closed(kind="stream_error", code=503))
        waiting = await running.settle()
        await trio.sleep(2)
        status = await running.settle()

        assert waiting.status is CompanyState.RECONNECTING
        assert waiting.next_attempt_at is not None
        assert waiting.reason == "stream error 503"
        assert (status.status, world.engine.opened) == (CompanyState.CONNECTED, 1)


async def test_five_failures_open_the_circuit(autojump_clock: MockClock) -> None:
    """Refused again and again: suspended, one probe after five minutes."""
    world = World()

    def refuse(message: protocol.ToEngine) -> list[protocol.Message] | None:
        if isinstance(message, protocol.Connect):
            return [protocol.Done(call=message.call), protocol.Closed(kind="connect_failure", code=503)]
        return None

    world.engine.hook = refuse
    async with company(world) as running:
        await trio.sleep(60)
        suspended = await running.settle()
        attempts = world.engine.calls(protocol.Connect)
        await trio.sleep(290)

        assert (suspended.status, attempts) == (CompanyState.SUSPENDED, 5)
        assert world.engine.calls(protocol.Connect) == 6


async def test_silence_while_connecting_has_a_deadline(autojump_clock: MockClock) -> None:
    """A log-in that neither succeeds nor fails is given up after 60 s and tried again."""
    world = World()
    world.engine.hook = lambda m: [protocol.Done(call=m.call)] if isinstance(m, protocol.Connect) else None
    async with company(world) as running:
        await trio.sleep(59)
        before = await running.status()
        await trio.sleep(1.5)

        assert before.status is CompanyState.CONNECTING
        assert world.engine.calls(protocol.Disconnect) == 1


async def test_a_replaced_session_waits_and_takes_no_fight(autojump_clock: MockClock) -> None:
    """Conflict: no attempt for a minute."""
    world = World()
    async with company(world) as running:
        await running.settle()
        world.engine.say(protocol.Closed(kind="replaced"))
        await trio.sleep(59)
        waiting = await running.status()
        await trio.sleep(2)

        assert waiting.status is CompanyState.CONFLICT
        assert (await running.status()).status is CompanyState.CONNECTED


async def test_a_logout_archives_the_credentials_and_offers_nothing(autojump_clock: MockClock) -> None:
    """401: archived, not destroyed; the company rests until an operator initializes it."""
    world = World()
    async with company(world) as running:
        await running.settle()
        world.engine.say(protocol.Closed(kind="logged_out", code=401))
        await trio.sleep(3600)
        status = await running.status()

        assert status.status is CompanyState.LOGGED_OUT
        assert [type(m) for m in world.stored if isinstance(m, ArchiveAuth)] == [ArchiveAuth]
        assert "logout" in world.event_types()
        assert world.engine.calls(protocol.Connect) == 1


async def test_a_ban_ends_when_whatsapp_said(autojump_clock: MockClock) -> None:
    """Banned for 100 s: the next attempt comes after them."""
    world = World()
    async with company(world) as running:
        await running.settle()
        world.engine.say(protocol.Closed(kind="temporary_ban", code=101, expires_in_s=100.0))
        await trio.sleep(99)
        banned = await running.status()
        await trio.sleep(2)

        assert banned.status is CompanyState.BANNED
        assert (await running.status()).status is CompanyState.CONNECTED


async def test_an_outdated_client_does_not_storm(autojump_clock: MockClock) -> None:
    """405: no attempt at all until an operator acts."""
    world = World()
    async with company(world) as running:
        await running.settle()
        world.engine.say(protocol.Closed(kind="outdated", code=405))
        await trio.sleep(7200)

        assert (await running.status()).status is CompanyState.OUTDATED
        assert world.engine.calls(protocol.Connect) == 1


async def test_auth_state_that_cannot_be_read_is_no_missing_identity(autojump_clock: MockClock) -> None:
    """Promise 4: no engine is asked for anything, no QR code is offered; a probe after five minutes finds it readable again."""
    world = World()
    broken = [True]

    def load() -> None:
        if broken[0]:
            raise BrokenSeal(COMPANY, "the stored credentials", "it was changed")

    world.load_hook = load
    async with company(world) as running:
        waiting = await running.settle()
        with pytest.raises(Refused):
            await running.ref.ask(Initialize(method="qr", phone=None))
        await trio.sleep(200)
        still = await running.status()
        asked = world.engine.calls(protocol.Open), world.engine.calls(protocol.Connect)
        broken[0] = False
        await trio.sleep(310)

        assert (waiting.status, waiting.reason) == (
            CompanyState.SUSPENDED,
            f"company {COMPANY}: the stored credentials: it was changed",
        )
        assert still.status is CompanyState.SUSPENDED
        assert (still.restarts, asked) == (0, (0, 0))
        assert not [m for m in world.stored if isinstance(m, ArchiveAuth)]
        assert "error" in world.event_types()
        assert set(world.metrics.errors) == {"auth_unreadable"}
        assert (await running.status()).status is CompanyState.CONNECTED


async def test_another_owner_is_respected(autojump_clock: MockClock) -> None:
    """A lease held elsewhere: conflict, and a try when it ends."""
    world = World()
    held = [True]

    def hold(message: Any) -> None:
        if isinstance(message, AcquireLease) and held[0]:
            raise Refused("owned_elsewhere", "held by another daemon", retry_after_s=20.0)

    world.storage_hook = hold
    async with company(world) as running:
        waiting = await running.settle()
        held[0] = False
        await trio.sleep(21)

        assert (waiting.status, waiting.reason) == (CompanyState.CONFLICT, "held by another daemon")
        assert (await running.status()).status is CompanyState.CONNECTED


async def test_a_lost_lease_drops_the_socket_at_once(autojump_clock: MockClock) -> None:
    """Promise 2: before another daemon may connect, this one is gone."""
    world = World()
    async with company(world) as running:
        await running.settle()
        running.ref.tell(LeaseWasLost("another daemon owns this company", elsewhere=True))
        await running.settle()

        assert world.engine.socket is None
        assert (await running.status()).status is CompanyState.CONFLICT


async def test_a_crash_comes_back_connected(autojump_clock: MockClock) -> None:
    """Killed: a new incarnation takes the session up again; the old engine connection is gone."""
    world = World()
    async with company(world) as running:
        await running.settle()
        running.system.kill(f"/{COMPANY}", "test")
        await trio.sleep(5)
        status = await running.settle()

        assert (status.status, status.restarts, world.engine.opened) == (CompanyState.CONNECTED, 1, 2)


async def test_an_engine_that_dies_does_not_shorten_a_wait(autojump_clock: MockClock) -> None:
    """Replaced, then the engine dies: still no attempt before the minute is over, then a new engine connection."""
    world = World()
    async with company(world) as running:
        await running.settle()
        world.engine.say(protocol.Closed(kind="replaced"))
        await running.settle()
        world.engine.die()
        await trio.sleep(58)
        waiting = (await running.status()).status, world.engine.opened
        await trio.sleep(4)

        assert waiting == (CompanyState.CONFLICT, 1)
        assert ((await running.status()).status, world.engine.opened) == (CompanyState.CONNECTED, 2)


async def test_connections_that_do_not_hold_open_the_circuit(autojump_clock: MockClock) -> None:
    """Accepted and dropped at once, again and again: that is no success, and ends in `suspended`."""
    world = World()

    def drop(message: protocol.ToEngine) -> list[protocol.Message] | None:
        if isinstance(message, protocol.Connect):
            return [
                protocol.Done(call=message.call),
                protocol.Connected(jid="79000000001:1@s.whatsapp.net", lid=None),
                protocol.Closed(kind="disconnected"),
            ]
        return None

    world.engine.hook = drop
    async with company(world) as running:
        await trio.sleep(60)

        assert (await running.status()).status is CompanyState.SUSPENDED
