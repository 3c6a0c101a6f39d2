"""A company whose state directory cannot be written."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from actors.engine.protocol import messages as protocol
from actors.messages import CheckContact, CompanyState, DiskFailed, Initialize, Refused
from tests.actors.fakes import World
from tests.actors.running import TEXT, company

FULL = "no space is left"
CLOSED = protocol.Closed(kind="storage_full", text=FULL)


async def test_it_is_suspended_with_the_reason_and_back_with_room(autojump_clock: MockClock) -> None:
    """Requests get `storage_full` meanwhile; while the disk is known to be full it does not even try."""
    world = World()
    async with company(world) as running:
        await running.settle()
        world.disk.fault = FULL
        world.engine.say(CLOSED)
        suspended = await running.settle()
        with pytest.raises(Refused) as send:
            await running.ref.ask(TEXT)
        with pytest.raises(Refused) as question:
            await running.ref.ask(CheckContact("79000000002"))
        await trio.sleep(300)
        connects = world.engine.calls(protocol.Connect)
        world.disk.fault = None
        await trio.sleep(5)
        status = await running.settle()

        assert (suspended.status, suspended.reason, suspended.reason_code) == (
            CompanyState.SUSPENDED,
            FULL,
            "storage_full",
        )
        assert (send.value.code, question.value.code) == ("storage_full", "storage_full")
        assert connects == 1
        assert (status.status, status.reason_code) == (CompanyState.CONNECTED, None)
        assert world.metrics.errors.count("storage_full") == 1
        assert [event.type for event in world.events()].count("status") <= 6


async def test_the_disk_actor_hears_of_it_at_once(autojump_clock: MockClock) -> None:
    """That actor is the one that finds out whether a write succeeds again."""
    world = World()
    async with company(world) as running:
        await running.settle()
        world.engine.say(CLOSED)
        await running.settle()

        assert world.disk.doubted.is_set()


async def test_one_that_hears_of_a_full_disk_leaves_whatsapp(autojump_clock: MockClock) -> None:
    """Before its own write fails."""
    world = World()
    async with company(world) as running:
        await running.settle()
        world.disk.fault = FULL
        running.ref.tell(DiskFailed(FULL))
        status = await running.settle()

        assert (status.status, status.reason) == (CompanyState.SUSPENDED, FULL)
        assert world.engine.calls(protocol.Disconnect) == 1


async def test_a_stopped_company_stays_stopped(autojump_clock: MockClock) -> None:
    """A full disk does not affect it."""
    world = World()
    async with company(world, running=False) as running:
        running.ref.tell(DiskFailed(FULL))

        assert (await running.settle()).status is CompanyState.STOPPED


@pytest.mark.parametrize("stage", ["open", "connect", "later"])
async def test_an_engine_that_cannot_write_suspends_it(autojump_clock: MockClock, stage: str) -> None:
    """Whether the write fails when the file is opened, before the log-in, or later."""
    world = World()

    def refuse(message: protocol.ToEngine) -> list[protocol.Message] | None:
        if stage == "open" and isinstance(message, protocol.Open):
            return [protocol.OpenRefused(code="storage_full", text=FULL)]
        if stage == "connect" and isinstance(message, protocol.Connect):
            return [protocol.Failed(call=message.call, code="storage_full", text=FULL)]
        return None

    world.engine.hook = refuse
    async with company(world) as running:
        await running.settle()
        if stage == "later":
            world.engine.say(protocol.OpenRefused(code="storage_full", text=FULL))
        suspended = await running.settle()
        world.engine.hook = lambda message: None
        await trio.sleep(15)
        status = await running.settle()

        assert (suspended.status, suspended.reason, suspended.reason_code) == (
            CompanyState.SUSPENDED,
            FULL,
            "storage_full",
        )
        assert status.status is CompanyState.CONNECTED


async def test_one_that_fails_alone_waits_longer_and_longer(autojump_clock: MockClock) -> None:
    """The disk takes the probe's writes and not this company's: it does not log in and out every few seconds."""
    world = World()

    def fail(message: protocol.ToEngine) -> list[protocol.Message] | None:
        if isinstance(message, protocol.Connect):
            return [protocol.Done(call=message.call), protocol.Connected(jid=world.engine.jid or "", lid=None), CLOSED]
        return None

    world.engine.hook = fail
    async with company(world) as running:
        await trio.sleep(600)
        await running.settle()

        assert world.engine.calls(protocol.Connect) == 8


async def test_who_links_a_company_hears_of_it(autojump_clock: MockClock) -> None:
    """And not that WhatsApp is the cause."""
    world = World()
    world.engine.jid = None
    world.engine.hook = lambda m: (
        [protocol.OpenRefused(code="storage_full", text=FULL)] if isinstance(m, protocol.Open) else None
    )
    async with company(world, running=False) as running:
        with pytest.raises(Refused) as refused:
            await running.ref.ask(Initialize())

        assert (refused.value.code, refused.value.text) == ("storage_full", FULL)
