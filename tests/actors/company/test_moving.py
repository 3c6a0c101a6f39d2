"""Between engine processes: a company is linked in one and moves to another, or leaves one that is to be replaced."""

from __future__ import annotations

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors.engine.protocol import messages as protocol
from actors.messages import (
    AssignEngine,
    CompanyState,
    Initialize,
    LeaseDropped,
    LeaveEngine,
    ReleaseEngine,
    StopSession,
)
from actors.storage.requests import ReleaseLease
from tests.actors.fakes import FakeEngine, World
from tests.actors.running import COMPANY, company

JID = "79000000001:1@s.whatsapp.net"
PAIRED = (
    protocol.JournalDelta(position=3, creds=b"{}", keys=()),
    protocol.Paired(jid=JID, lid=None, platform="test", position=3),
)


def released(world: World) -> int:
    return sum(isinstance(message, ReleaseLease) for message in world.stored)


def dropped(world: World) -> int:
    return sum(isinstance(message, LeaseDropped) for message in world.directory)


async def test_a_linked_company_moves_among_the_linked_ones(autojump_clock: MockClock) -> None:
    """Without another QR code, announced once, under the same lease all the time."""
    world = World(engine=FakeEngine(jid=None))
    world.engine.offers()
    async with company(world) as running:
        await running.ref.ask(Initialize())
        world.engine.say(*PAIRED, protocol.Connected(jid=JID, lid=None))
        status = await running.settle()

        assert (status.status, status.engine) == (CompanyState.CONNECTED, "/engines/engine-0")
        assert (released(world), dropped(world)) == (0, 0)
    assert world.event_types().count("qr") == 1
    assert world.event_types().count("connected") == 1


async def test_a_log_in_after_linking_that_fails_is_tried_again_among_the_linked_ones(
    autojump_clock: MockClock,
) -> None:
    """The process it was linked in is not for linked companies, not even while it tries."""
    world = World(engine=FakeEngine(jid=None))
    world.engine.offers()
    async with company(world) as running:
        await running.ref.ask(Initialize())
        world.engine.say(*PAIRED, protocol.Closed(kind="disconnected", code=515))
        await running.settle()
        await trio.sleep(5)
        status = await running.settle()

        assert (status.status, status.engine) == (CompanyState.CONNECTED, "/engines/engine-0")


async def test_a_pairing_whose_engine_died_before_it_was_announced_is_no_secret(autojump_clock: MockClock) -> None:
    """The device is in its file: the next session logs in and announces it."""
    world = World(engine=FakeEngine(jid=None))
    world.engine.offers()
    async with company(world) as running:
        await running.ref.ask(Initialize())
        world.engine.say(protocol.Paired(jid=JID, lid=None, platform="test", position=9))
        await running.settle()
        world.engine.die()
        await trio.sleep(5)

        assert (await running.settle()).status is CompanyState.CONNECTED


async def test_the_device_file_says_where_a_company_belongs(autojump_clock: MockClock) -> None:
    """Postgres has no record of a device that the file has: it is opened once more, among the linked ones, before it logs in."""
    world = World()
    world.knows_device = False
    async with company(world) as running:
        status = await running.settle()
        asked = [message.hosts for message in world.placed if isinstance(message, AssignEngine)]

        assert asked == ["pairing", "linked"]
        assert (status.status, status.engine) == (CompanyState.CONNECTED, "/engines/engine-0")
        assert world.engine.calls(protocol.Connect) == 1


async def test_a_company_without_a_phone_holds_no_engine(autojump_clock: MockClock) -> None:
    """Its slot is released, its connection closed; its lease stays."""
    world = World(engine=FakeEngine(jid=None))
    async with company(world) as running:
        status = await running.settle()

        assert (status.status, status.engine, status.lease_epoch) == (CompanyState.UNLINKED, None, 1)
        assert world.engine.socket is None
        assert world.placed[-1] == ReleaseEngine(COMPANY)
        assert (released(world), dropped(world)) == (0, 0)


async def test_a_company_without_a_phone_that_is_stopped_gives_its_lease_back(autojump_clock: MockClock) -> None:
    """Another daemon may have it at once."""
    world = World(engine=FakeEngine(jid=None))
    async with company(world) as running:
        await running.settle()
        status = await running.ref.ask(StopSession())

        assert (status.status, status.lease_epoch) == (CompanyState.STOPPED, None)
        assert (released(world), dropped(world)) == (1, 1)


async def test_a_company_that_is_stopped_between_two_sessions_lets_its_lease_run_out(autojump_clock: MockClock) -> None:
    """Its engine was lost, and may still be on WhatsApp: the lease is no longer renewed, but not released early either."""
    world = World()
    async with company(world) as running:
        await running.settle()
        world.engine.accepts = False
        world.engine.die()
        await running.settle()
        status = await running.ref.ask(StopSession())
        await wait_all_tasks_blocked()  # the directory handles its messages

        assert status.status is CompanyState.STOPPED
        assert (released(world), dropped(world)) == (0, 1)


async def test_a_company_leaves_a_worn_engine_and_goes_on_in_another(autojump_clock: MockClock) -> None:
    """Connected again at once, everything shipped, the lease kept."""
    world = World()
    async with company(world) as running:
        await running.settle()
        running.ref.tell(LeaveEngine())
        status = await running.settle()

        assert (status.status, world.engine.opened) == (CompanyState.CONNECTED, 2)
        assert world.engine.calls(protocol.Disconnect) == 1
        assert (released(world), dropped(world)) == (0, 0)


async def test_a_company_that_waits_for_its_next_attempt_leaves_a_worn_engine(autojump_clock: MockClock) -> None:
    """And makes that attempt in another."""
    world = World()
    async with company(world) as running:
        await running.settle()
        world.engine.say(protocol.Closed(kind="replaced"))
        await running.settle()
        running.ref.tell(LeaveEngine())
        waiting = await running.settle()
        await trio.sleep(61)

        assert (waiting.status, waiting.engine) == (CompanyState.CONFLICT, None)
        assert ((await running.settle()).status, world.engine.opened) == (CompanyState.CONNECTED, 2)


async def test_a_company_that_is_being_linked_is_not_disturbed(autojump_clock: MockClock) -> None:
    """Its QR code stays on offer."""
    world = World(engine=FakeEngine(jid=None))
    world.engine.offers()
    async with company(world) as running:
        await running.ref.ask(Initialize())
        opened = world.engine.opened
        running.ref.tell(LeaveEngine())

        assert ((await running.settle()).status, world.engine.opened) == (CompanyState.PAIRING, opened)


async def test_a_company_that_is_not_in_the_engine_gives_its_place_back(autojump_clock: MockClock) -> None:
    """Otherwise the process would wait for it for ever."""
    world = World(engine=FakeEngine(jid=None))
    async with company(world) as running:
        await running.settle()
        world.placed.clear()
        running.ref.tell(LeaveEngine())
        await running.settle()

        assert world.placed == [ReleaseEngine(COMPANY)]


async def test_a_new_way_of_linking_keeps_the_lease(autojump_clock: MockClock) -> None:
    """A code instead of the QR: another session, the same owner."""
    world = World(engine=FakeEngine(jid=None))
    world.engine.offers()
    async with company(world) as running:
        await running.ref.ask(Initialize())
        shown = await running.ref.ask(Initialize(method="code", phone="79000000001"))

        assert shown.pairing_code == "ABCD-1234"
        assert (released(world), dropped(world)) == (0, 0)
