"""Connecting, stopping, health and incoming messages of a company, in virtual time."""

from __future__ import annotations

import msgspec
import pytest
import trio
from trio.testing import MockClock

from actors.engine.protocol import messages as protocol
from actors.engine.whatsmeow import payloads
from actors.messages import (
    CheckHealth,
    CompanyState,
    StartSession,
    StopSession,
)
from actors.storage.requests import ReleaseLease
from config.sections import CompanySettings
from tests.actors.fakes import FakeEngine, World
from tests.actors.running import company


async def test_a_linked_company_connects_by_itself(autojump_clock: MockClock) -> None:
    """Lease, slot, device file, log-in: connected without an order, and each step is an event."""
    async with company(World()) as running:
        status = await running.settle()

        assert status.status is CompanyState.CONNECTED
        assert (status.phone_number, status.lease_epoch, status.engine) == ("+79000000001", 1, "/engines/engine-0")
        assert running.world.event_types() == ["status", "status", "connected"]


async def test_a_company_without_credentials_waits_for_an_operator(autojump_clock: MockClock) -> None:
    """No QR is offered unasked."""
    async with company(World(engine=FakeEngine(jid=None))) as running:
        status = await running.settle()

        assert status.status is CompanyState.UNLINKED
        assert running.world.engine.calls(protocol.Connect) == 0


async def test_stop_ships_the_rest_and_gives_the_lease_back(autojump_clock: MockClock) -> None:
    """Stopped: the engine disconnected, its last delta is committed, the lease released. Start brings it back."""
    world = World()

    def ship(message: protocol.ToEngine) -> list[protocol.Message] | None:
        if isinstance(message, protocol.Disconnect):
            return [protocol.JournalDelta(position=9, creds=None, keys=()), protocol.Done(call=message.call)]
        return None

    async with company(world) as running:
        await running.settle()
        world.engine.hook = ship
        stopped = await running.ref.ask(StopSession())
        released = [m for m in world.stored if isinstance(m, ReleaseLease)]
        await running.ref.ask(StartSession())

        assert (stopped.status, stopped.lease_epoch, world.committed(), len(released)) == (
            CompanyState.STOPPED,
            None,
            [9],
            1,
        )
        assert (await running.settle()).status is CompanyState.CONNECTED


async def test_health_is_a_real_round_trip(autojump_clock: MockClock) -> None:
    """Healthy when the engine answers a ping; unhealthy when it hangs, and the caller waits no longer than the ping's deadline."""
    world = World()
    async with company(world) as running:
        await running.settle()
        well = await running.ref.ask(CheckHealth())
        await trio.sleep(2)
        world.engine.hook = lambda m: [] if isinstance(m, protocol.Ping) else None
        ill = await running.ref.ask(CheckHealth(), timeout=15)

        assert (well.healthy, ill.healthy) == (True, False)
        assert ill.checks == {"lease": True, "engine": True, "connected": True, "roundTrip": False}


async def test_an_incoming_message_is_published_after_its_ratchet_step(autojump_clock: MockClock) -> None:
    """The event spool is cut only when the event log has the message, and the log gets it after the commit."""
    world = World()
    async with company(world) as running:
        await running.settle()
        world.engine.say(
            protocol.JournalDelta(position=5, creds=None, keys=()),
            protocol.OutboxEvent(number=1, type="message", payload=b'{"text":"hi"}', position=5),
        )
        await running.settle()

        assert world.committed() == [5]
        assert world.event_types()[-1] == "message"
        assert [m.number for m in world.engine.seen if isinstance(m, protocol.EventsStored)] == [1]


async def test_a_message_that_two_outboxes_kept_is_one_event(autojump_clock: MockClock) -> None:
    """Another daemon may have reported it: its id is the message's and its sender's, in whichever event spool it was."""

    def message(message_id: str, sender: str) -> bytes:
        return msgspec.json.encode({"messageId": message_id, "sender": {"id": sender}, "text": "hi"})

    one, other = "79000000002@s.whatsapp.net", "79000000003@s.whatsapp.net"
    contents = [message("3EB0AA", one), message("3EB0AA", one), message("3EB0AA", other), b"{}", b"{}"]
    ids: list[str] = []
    for file_id in ("here", "there"):
        world = World()
        world.engine.file_id = file_id
        async with company(world) as running:
            await running.settle()
            world.engine.say(
                *(
                    protocol.OutboxEvent(number=number, type="message", payload=content, position=0)
                    for number, content in enumerate(contents, start=1)
                )
            )
            await running.settle()
        ids += [event.id for event in world.events() if event.type == "message"]

    assert len(ids) == 10
    assert ids[0] == ids[1] == ids[5] == ids[6]
    assert ids[2] == ids[7] != ids[0]
    assert len({*ids[3:5], *ids[8:10]}) == 4


async def test_what_cannot_be_decrypted_is_counted_and_reported_once_a_sender_and_hour(
    autojump_clock: MockClock,
) -> None:
    """As the engine writes it; an event without even a sender is reported like one, and the rest goes on."""
    world = World()
    lost = [
        payloads.lost_payload(f"3EB{n}", "79000000002@s.whatsapp.net", "79000000002@s.whatsapp.net") for n in (1, 2)
    ]
    contents = [*(msgspec.json.encode(payload) for payload in lost), b'{"sender":"?"}', b'{"sender":"?"}']
    async with company(world) as running:
        await running.settle()
        world.engine.say(
            *(
                protocol.OutboxEvent(number=number, type="undecryptable", payload=payload, position=0)
                for number, payload in enumerate(contents, start=1)
            )
        )
        status = await running.settle()

        assert status.status is CompanyState.CONNECTED
        assert world.metrics.errors == ["undecryptable"] * 4
        assert world.event_types()[-2:] == ["error", "error"]
        assert world.event_types().count("error") == 2
        assert [m.number for m in world.engine.seen if isinstance(m, protocol.EventsStored)][-1] == 4


async def test_start_tries_again_at_once(autojump_clock: MockClock) -> None:
    """An operator need not wait for the back-off."""
    world = World()
    async with company(world) as running:
        await running.settle()
        world.engine.say(protocol.Closed(kind="outdated", code=405))
        await running.settle()
        await running.ref.ask(StartSession())

        assert (await running.settle()).status is CompanyState.CONNECTED


def take_all_turns(gate: trio.CapacityLimiter) -> None:
    """Have as many others log in as may at once; raising ``total_tokens`` by one lets the next in."""
    for _ in range(int(gate.total_tokens)):
        gate.acquire_on_behalf_of_nowait(object())


async def test_waiting_for_ones_turn_has_no_deadline_and_connecting_has(autojump_clock: MockClock) -> None:
    """At boot a thousand companies wait for a few turns: the connect deadline begins with the turn."""
    world = World()
    gate = world.connect_gate
    async with company(world, running=False) as running:
        take_all_turns(gate)
        await running.ref.ask(StartSession())
        await trio.sleep(600)
        waiting = await running.status()
        gate.total_tokens += 1

        assert (waiting.status, waiting.reconnect_attempts) == (CompanyState.CONNECTING, 0)
        assert (await running.settle()).status is CompanyState.CONNECTED


async def test_who_lost_whatsapp_waits_for_a_turn_too(autojump_clock: MockClock) -> None:
    """A thousand that were dropped together come back a few at a time; waiting for the turn is no failure and has no deadline."""
    world = World()
    gate = world.connect_gate
    async with company(world) as running:
        await running.settle()
        take_all_turns(gate)
        world.engine.say(protocol.Closed(kind="disconnected"))
        await trio.sleep(600)
        waiting = await running.status()
        attempts = world.engine.calls(protocol.Connect)
        gate.total_tokens += 1

        assert (waiting.status, attempts) == (CompanyState.CONNECTING, 1)
        assert (await running.settle()).status is CompanyState.CONNECTED
        assert gate.available_tokens == 1


async def test_a_turn_that_comes_after_a_stop_is_not_used(autojump_clock: MockClock) -> None:
    """Its turn comes while it is leaving WhatsApp: it does not log in, and the next company's turn comes at once."""
    world = World()
    gate = world.connect_gate

    def gives_a_turn(message: protocol.ToEngine) -> None:
        gate.total_tokens += isinstance(message, protocol.Disconnect)

    async with company(world) as running:
        await running.settle()
        take_all_turns(gate)
        world.engine.say(protocol.Closed(kind="disconnected"))
        await trio.sleep(600)
        world.engine.hook = gives_a_turn
        await running.ref.ask(StopSession())
        status = await running.settle()

        assert (status.status, world.engine.calls(protocol.Connect)) == (CompanyState.STOPPED, 1)
        assert gate.available_tokens == 1


@pytest.mark.parametrize("is_first", [True, False])
async def test_silence_keeps_nobody_waiting_for_long(autojump_clock: MockClock, is_first: bool) -> None:
    """A log-in that WhatsApp leaves unanswered goes on, but after 10 s the next company's turn comes."""
    world = World()
    gate = world.connect_gate
    if is_first:
        world.engine.hook = silent
    async with company(world) as running:
        await running.settle()
        if not is_first:
            world.engine.hook = silent
            world.engine.say(protocol.Closed(kind="disconnected"))
        await trio.sleep(9)
        during = gate.borrowed_tokens
        await trio.sleep(3)

        assert (during, gate.borrowed_tokens) == (1, 0)
        assert (await running.status()).status is CompanyState.CONNECTING


async def test_a_refused_attempt_gives_its_turn_on_at_once(autojump_clock: MockClock) -> None:
    """The engine does not even begin, so the company does not keep its turn."""
    world = World()
    async with company(world) as running:
        await running.settle()
        world.engine.hook = unwilling
        world.engine.say(protocol.Closed(kind="disconnected"))
        await trio.sleep(1)

        assert (await running.settle()).status is CompanyState.RECONNECTING
        assert (world.engine.calls(protocol.Connect), world.connect_gate.borrowed_tokens) == (2, 0)


def silent(message: protocol.ToEngine) -> list[protocol.Message] | None:
    """Accepts a `Connect` and sends nothing more."""
    return [protocol.Done(call=message.call)] if isinstance(message, protocol.Connect) else None


def unwilling(message: protocol.ToEngine) -> list[protocol.Message] | None:
    """Refuses a `Connect`."""
    if isinstance(message, protocol.Connect):
        return [protocol.Failed(call=message.call, code="engine_error", text="no")]
    return None


async def test_a_company_at_rest_is_counted_too(autojump_clock: MockClock) -> None:
    """The metrics know of a stopped company from the start of its actor."""
    world = World()
    async with company(world, running=False) as running:
        status = await running.settle()

        assert world.metrics.states == [CompanyState.STOPPED]
        assert status.reason == "stopped by an operator"


async def test_a_stop_during_the_boot_jitter_is_not_forgotten(autojump_clock: MockClock) -> None:
    """A company that is stopped before its turn at boot does not start when the turn comes."""
    world = World(settings=CompanySettings(start_jitter_s=30.0))
    async with company(world) as running:
        await running.ref.ask(StopSession())
        await trio.sleep(60)

        assert (await running.status()).status is CompanyState.STOPPED
        assert world.engine.calls(protocol.Connect) == 0
