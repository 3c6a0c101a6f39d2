"""Requests that come while a company is not connected: they wait, or the refusal says who can change that."""

from __future__ import annotations

import msgspec
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors.company.waiting import RETRY_AFTER_S
from actors.engine.protocol import messages as protocol
from actors.messages import CompanyState, Logout, Refused, StopSession, WaitConnected
from tests.actors.company.test_trouble_reports import held_elsewhere
from tests.actors.fakes import FakeEngine, World
from tests.actors.running import COMPANY, TEXT, Running, company


def silent(message: protocol.ToEngine) -> list[protocol.Message] | None:
    """An engine hook: WhatsApp does not answer the log-in."""
    return [protocol.Done(call=message.call)] if isinstance(message, protocol.Connect) else None


async def refusal(running: Running, within_s: float = 15.0) -> Refused:
    """The refusal of a request that waits."""
    with pytest.raises(Refused) as refused:
        await running.ref.ask(WaitConnected(within_s), timeout=within_s + 5.0)
    return refused.value


async def test_who_waits_goes_on_when_the_company_is_back(autojump_clock: MockClock) -> None:
    """Through the death of an engine process: no refusal, and the message is sent."""
    world = World()
    async with company(world) as running:
        await running.settle()
        world.engine.die()
        await wait_all_tasks_blocked()
        assert (await running.status()).status is CompanyState.RECONNECTING
        await running.ref.ask(WaitConnected(15.0), timeout=20.0)

        assert (await running.ref.ask(TEXT)).message_id


async def test_waiting_ends_in_time(autojump_clock: MockClock) -> None:
    """A log-in that takes longer: 503 after exactly that time, to be repeated."""
    world = World()
    world.engine.hook = silent
    async with company(world) as running:
        await running.settle()
        began = trio.current_time()
        refused = await refusal(running)

    assert (refused.code, refused.retry_after_s) == ("reconnecting", RETRY_AFTER_S)
    assert trio.current_time() - began == pytest.approx(15.0)


async def test_nobody_waits_for_an_attempt_that_comes_too_late(autojump_clock: MockClock) -> None:
    """Suspended for five minutes: refused at once, with the time until the attempt."""
    world = World()
    world.settings = msgspec.structs.replace(world.settings, circuit_failures=1)
    async with company(world) as running:
        await running.settle()
        world.engine.say(protocol.Closed(kind="stream_error", code=503))
        status = await running.settle()
        began = trio.current_time()
        refused = await refusal(running)

    assert (status.status, refused.code) == (CompanyState.SUSPENDED, "reconnecting")
    assert refused.retry_after_s == pytest.approx(300.0)
    assert trio.current_time() == began


async def test_those_who_wait_for_a_company_are_bounded(autojump_clock: MockClock) -> None:
    """One more is refused at once; another may follow when one leaves."""
    world = World()
    world.engine.hook = silent
    world.settings = msgspec.structs.replace(world.settings, max_waiting_sends=2)
    async with company(world) as running, trio.open_nursery() as nursery:
        await running.settle()
        for _ in range(2):
            nursery.start_soon(refusal, running)
        await wait_all_tasks_blocked()
        began = trio.current_time()
        refused = await refusal(running)
        at_once = trio.current_time() - began
        await trio.sleep(15.0)
        nursery.start_soon(refusal, running)
        await wait_all_tasks_blocked()

        assert ("too many" in refused.text, refused.code, at_once) == (True, "reconnecting", 0.0)


async def test_a_stop_ends_the_waiting(autojump_clock: MockClock) -> None:
    """Only an operator starts it again: 409."""
    world = World()
    world.engine.hook = silent
    refused: list[Refused] = []
    async with company(world) as running, trio.open_nursery() as nursery:
        await running.settle()

        async def wait() -> None:
            refused.append(await refusal(running))

        nursery.start_soon(wait)
        await wait_all_tasks_blocked()
        await running.ref.ask(StopSession())

    assert [each.code for each in refused] == ["no_active_session"]


async def test_a_company_that_crashed_or_has_just_begun_is_waited_for(autojump_clock: MockClock) -> None:
    """It is `stopped` until its turn comes, and no operator has to act."""
    world = World()
    world.settings = msgspec.structs.replace(world.settings, start_jitter_s=5.0)
    async with company(world) as running:
        early = (await running.status()).status
        await running.ref.ask(WaitConnected(15.0), timeout=20.0)
        running.system.kill(f"/{COMPANY}", "test")
        await trio.sleep(1.0)
        await running.ref.ask(WaitConnected(15.0), timeout=20.0)

    assert early is CompanyState.STOPPED
    assert world.engine.opened == 2


@pytest.mark.parametrize(
    ("closed", "state", "code"),
    [
        (protocol.Closed(kind="stream_error", code=503), CompanyState.RECONNECTING, "reconnecting"),
        (protocol.Closed(kind="replaced"), CompanyState.CONFLICT, "reconnecting"),
        (protocol.Closed(kind="temporary_ban", code=101, expires_in_s=100.0), CompanyState.BANNED, "reconnecting"),
        (protocol.Closed(kind="temporary_ban", code=101), CompanyState.BANNED, "no_active_session"),
        (protocol.Closed(kind="outdated", code=405), CompanyState.RECONNECTING, "reconnecting"),
        (protocol.Closed(kind="logged_out", code=401), CompanyState.LOGGED_OUT, "no_active_session"),
    ],
)
async def test_a_send_is_refused_by_who_can_end_the_state(
    autojump_clock: MockClock, closed: protocol.Closed, state: CompanyState, code: str
) -> None:
    """A state that ends by itself is retryable; 409 is for operators."""
    world = World()
    async with company(world) as running:
        await running.settle()
        world.engine.say(closed)
        assert (await running.settle()).status is state
        with pytest.raises(Refused) as refused:
            await running.ref.ask(TEXT)

    assert refused.value.code == code


async def test_another_daemons_company_says_so(autojump_clock: MockClock) -> None:
    """For a request that passes the directory a moment too early."""
    async with company(World(storage_hook=held_elsewhere)) as running:
        await running.settle()

        assert (await refusal(running)).code == "owned_elsewhere"


async def test_a_logout_that_cannot_be_done_is_not_done_silently(autojump_clock: MockClock) -> None:
    """A stopped company stays linked: 409, start it first. One without credentials has nothing to unlink."""
    async with company(World()) as running:
        await running.settle()
        await running.ref.ask(StopSession())
        with pytest.raises(Refused) as stopped:
            await running.ref.ask(Logout())
    async with company(World(engine=FakeEngine(jid=None))) as running:
        await running.settle()
        with pytest.raises(Refused) as unlinked:
            await running.ref.ask(Logout())

    assert (stopped.value.code, unlinked.value.code) == ("no_active_session", "not_linked")
