"""How a company reacts to failures of WhatsApp, the engine or its lease."""

from __future__ import annotations

from typing import Any, Literal

import pytest
import trio
from trio.testing import MockClock

from actors.company.ownership import TAKE_UP_WITHIN_S
from actors.engine.protocol import messages as protocol
from actors.messages import (
    CompanyState,
    Initialize,
    LeaseWasLost,
    Refused,
    RestartSession,
    StandDown,
    TakeUp,
)
from actors.storage.requests import AcquireLease, ArchiveAuth, ReleaseLease
from actors.versions.state import VersionState
from storage.errors import BrokenSeal
from storage.tables.ownership import NotWanted
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
    """405 and no other version: no attempt for 15 minutes, then one, which also tells the others whether it is accepted again."""
    world = World()
    world.versions = VersionState("library", lambda: 0.0)
    async with company(world) as running:
        await running.settle()
        world.engine.say(protocol.Closed(kind="outdated", code=405))
        await trio.sleep(890)
        waiting = (await running.status()).status
        attempts = world.engine.calls(protocol.Connect)
        await trio.sleep(20)

        assert (waiting, attempts) == (CompanyState.OUTDATED, 1)
        assert (await running.status()).status is CompanyState.CONNECTED
        assert not world.versions.is_exhausted


async def test_a_refused_company_goes_on_with_another_version(autojump_clock: MockClock) -> None:
    """405 while another version is being looked for: it stays reconnecting, and is back as soon as one is found."""
    world = World()
    async with company(world) as running:
        await running.settle()
        world.engine.say(protocol.Closed(kind="outdated", code=405))
        looking = (await running.settle()).status
        world.versions.found("2.3000.1050000000")
        world.versions.settle(renew_after_s=1e9)

        assert looking is CompanyState.RECONNECTING
        assert (await running.settle()).status is CompanyState.CONNECTED
        assert world.versions.current.text == "2.3000.1050000000"


async def test_auth_state_that_cannot_be_read_is_no_missing_identity(autojump_clock: MockClock) -> None:
    """Promise 4: no engine is used, no QR code is offered; a probe after five minutes finds it readable again."""
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


def held_elsewhere(message: Any) -> None:
    """A storage hook: another daemon has the lease."""
    if isinstance(message, AcquireLease):
        raise Refused("owned_elsewhere", "held by another daemon", retry_after_s=1.0)


async def test_another_owner_is_respected(autojump_clock: MockClock) -> None:
    """A lease held elsewhere: no attempt, however long, until the lease is free."""
    world = World(storage_hook=held_elsewhere)
    async with company(world) as running:
        await trio.sleep(3600)
        waiting = await running.status()
        attempts = sum(isinstance(message, AcquireLease) for message in world.stored)
        world.storage_hook = lambda message: None
        running.ref.tell(TakeUp(is_linked=True))
        await trio.sleep(TAKE_UP_WITHIN_S)

        assert (waiting.status, waiting.reason, attempts) == (CompanyState.ELSEWHERE, "held by another daemon", 1)
        assert (await running.settle()).status is CompanyState.CONNECTED


async def test_a_company_without_credentials_is_taken_up_without_a_session(autojump_clock: MockClock) -> None:
    """It has no owner and needs none: any daemon may link it."""
    world = World(storage_hook=held_elsewhere)
    async with company(world) as running:
        await running.settle()
        running.ref.tell(TakeUp(is_linked=False))
        status = await running.settle()

        assert (status.status, status.lease_epoch, world.engine.opened) == (CompanyState.UNLINKED, None, 0)


async def test_a_stop_at_the_owner_ends_the_waiting_elsewhere(autojump_clock: MockClock) -> None:
    """It stops here too, and starts here when it is started there and that daemon goes."""
    world = World(storage_hook=held_elsewhere)
    async with company(world) as running:
        await running.settle()
        running.ref.tell(StandDown())
        stopped = await running.settle()
        world.storage_hook = lambda message: None
        running.ref.tell(TakeUp(is_linked=True))
        await trio.sleep(TAKE_UP_WITHIN_S)

        assert (stopped.status, stopped.reason) == (CompanyState.STOPPED, "stopped at another daemon")
        assert (await running.settle()).status is CompanyState.CONNECTED


async def test_a_company_that_is_up_is_not_taken_up_again(autojump_clock: MockClock) -> None:
    """An old notice changes nothing."""
    world = World()
    async with company(world) as running:
        await running.settle()
        running.ref.tell(TakeUp(is_linked=True))
        running.ref.tell(StandDown())
        await trio.sleep(2 * TAKE_UP_WITHIN_S)

        assert (await running.settle()).status is CompanyState.CONNECTED
        assert world.engine.opened == 1


@pytest.mark.parametrize("desired", ["stopped", None])
async def test_what_is_on_record_comes_before_every_take_over(
    autojump_clock: MockClock, desired: Literal["stopped"] | None
) -> None:
    """A company that was stopped, or forgotten, at another daemon takes no lease and opens no device file."""
    world = World(not_wanted=NotWanted(desired))
    async with company(world) as running:
        status = await running.settle()

        assert (status.status, status.lease_epoch, world.engine.opened) == (CompanyState.STOPPED, None, 0)


async def test_a_restart_keeps_the_lease(autojump_clock: MockClock) -> None:
    """Other daemons wait for it to be given back: by an order, by the administration, or by health."""
    world = World()
    async with company(world) as running:
        await running.settle()
        await running.ref.ask(RestartSession())
        await running.settle()
        await running.system.restart(f"/{COMPANY}")
        status = await running.settle()
        kept = not any(isinstance(message, ReleaseLease) for message in world.stored)

    assert (status.status, world.engine.opened, kept) == (CompanyState.CONNECTED, 3, True)
    assert isinstance(world.stored[-1], ReleaseLease)


async def test_a_lost_lease_drops_the_socket_at_once(autojump_clock: MockClock) -> None:
    """Promise 2: before another daemon may connect, this one has left."""
    world = World()
    async with company(world) as running:
        await running.settle()
        running.ref.tell(LeaseWasLost("another daemon owns this company", elsewhere=True))
        await running.settle()

        assert world.engine.socket is None
        assert (await running.status()).status is CompanyState.ELSEWHERE


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
