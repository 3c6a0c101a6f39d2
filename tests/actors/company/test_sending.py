"""Sending: acknowledged when it is durable, refused with a reason."""

from __future__ import annotations

import msgspec
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors.engine.protocol import messages as protocol
from actors.messages import (
    Refused,
)
from actors.storage.requests import CommitDelta
from tests.actors.fakes import FakeEngine, World, refuse_writes
from tests.actors.running import TEXT, company


async def test_a_send_is_answered_after_its_ratchet_step_is_committed(autojump_clock: MockClock) -> None:
    """Promise 3: position 7 is committed before the caller gets its reply."""
    async with company(World()) as running:
        await running.settle()
        sent = await running.ref.ask(TEXT)

        assert sent.message_id.startswith("3EB0")
        assert running.world.committed() == [7]
        assert running.world.engine.calls(protocol.Committed) == 1


async def test_a_send_is_refused_while_postgres_is_away(autojump_clock: MockClock) -> None:
    """A send that cannot be made durable does not begin."""
    world = World()
    async with company(world) as running:
        await running.settle()
        world.storage_hook = refuse_writes
        with pytest.raises(Refused) as refusal:
            await running.ref.ask(TEXT)

        assert (refusal.value.code, refusal.value.retry_after_s) == ("storage_unavailable", 5.0)
        assert world.engine.calls(protocol.SendText) == 0


async def test_a_send_whose_commit_fails_is_not_acknowledged(autojump_clock: MockClock) -> None:
    """Postgres goes away between the check and the commit: 503, and the delta is committed when it is back."""
    world = World()
    async with company(world) as running:
        await running.settle()
        world.storage_hook = lambda m: refuse_writes(m) if isinstance(m, CommitDelta) else None
        with pytest.raises(Refused) as refusal:
            await running.ref.ask(TEXT, timeout=60)
        world.storage_hook = lambda m: None
        await trio.sleep(2)

        assert refusal.value.code == "storage_unavailable"
        assert world.committed()[-1] == 7
        assert world.engine.calls(protocol.Committed) == 1


async def test_a_send_whose_engine_dies_before_the_commit_does_not_blame_postgres(autojump_clock: MockClock) -> None:
    """WhatsApp has it, the state it used is not stored, and the process is gone: 503, and it may still arrive."""
    world = World()

    def die(message: object) -> None:
        if isinstance(message, CommitDelta):
            world.engine.die()
            refuse_writes(message)

    async with company(world) as running:
        await running.settle()
        world.storage_hook = die
        with pytest.raises(Refused, match="may still arrive") as refusal:
            await running.ref.ask(TEXT, timeout=60)

        assert (refusal.value.code, refusal.value.retry_after_s) == ("engine_unavailable", 2.0)


async def test_a_send_that_the_engine_never_answers_ends_in_time(autojump_clock: MockClock) -> None:
    """504 once the time for a send is over, however often Postgres was found writable meanwhile."""
    world = World()
    world.settings = msgspec.structs.replace(world.settings, send_timeout_s=25.0)
    async with company(world) as running:
        await running.settle()
        world.engine.hook = lambda m: [] if isinstance(m, protocol.SendText) else None
        began = trio.current_time()
        with pytest.raises(Refused, match="may still arrive") as refusal:
            await running.ref.ask(TEXT, timeout=60)

        assert refusal.value.code == "send_timeout"
        assert trio.current_time() - began == pytest.approx(25.0)


async def test_a_send_that_waits_for_postgres_in_the_engine_is_told_so(autojump_clock: MockClock) -> None:
    """The engine holds it back until its key is stored; the caller hears of Postgres at the first look, and not of a timeout."""
    world = World()
    async with company(world) as running:
        await running.settle()

        def hold_back(message: protocol.ToEngine) -> list[protocol.Message] | None:
            if not isinstance(message, protocol.SendText):
                return None
            world.storage_hook = refuse_writes
            return []

        world.engine.hook = hold_back
        began = trio.current_time()
        with pytest.raises(Refused, match="held back") as refusal:
            await running.ref.ask(TEXT, timeout=60)

        assert refusal.value.code == "storage_unavailable"
        assert trio.current_time() - began == pytest.approx(10.0)


async def test_a_send_before_linking_is_refused(autojump_clock: MockClock) -> None:
    """409 with the state in the text."""
    async with company(World(engine=FakeEngine(jid=None))) as running:
        await running.settle()
        with pytest.raises(Refused, match="unlinked") as refusal:
            await running.ref.ask(TEXT)

        assert refusal.value.code == "no_active_session"


async def test_sends_in_flight_are_bounded(autojump_clock: MockClock) -> None:
    """One more than the settings allow is refused at once."""
    world = World()
    async with company(world) as running, trio.open_nursery() as nursery:
        await running.settle()
        world.engine.hook = lambda m: [] if isinstance(m, protocol.SendText) else None

        async def hang() -> None:
            with pytest.raises(Refused, match="in time"):
                await running.ref.ask(TEXT, timeout=60)

        for _ in range(world.settings.max_pending_sends):
            nursery.start_soon(hang)
        await wait_all_tasks_blocked()
        with pytest.raises(Refused) as refusal:
            await running.ref.ask(TEXT)

        assert refusal.value.code == "too_many_sends"
