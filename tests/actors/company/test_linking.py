"""Linking a company to a phone, and unlinking it."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from actors.engine.protocol import messages as protocol
from actors.messages import (
    CompanyState,
    GetOffer,
    Initialize,
    Logout,
    Refused,
)
from actors.storage.requests import ArchiveAuth
from tests.actors.fakes import FakeEngine, World, refuse_writes
from tests.actors.running import company


async def test_linking_by_qr(autojump_clock: MockClock) -> None:
    """Initialize replies with the first QR; paired and committed, then connected."""
    world = World(engine=FakeEngine(jid=None))
    async with company(world) as running:
        await running.settle()
        world.engine.offers()
        shown = await running.ref.ask(Initialize())
        again = await running.ref.ask(GetOffer())
        world.engine.say(
            protocol.JournalDelta(position=3, creds=b"{}", keys=()),
            protocol.Paired(jid="79000000001:1@s.whatsapp.net", lid=None, platform="test", position=3),
            protocol.Connected(jid="79000000001:1@s.whatsapp.net", lid=None),
        )
        status = await running.settle()

        assert (shown.qr, again.qr) == ("qr-1", "qr-1")
        assert (status.status, world.committed()) == (CompanyState.CONNECTED, [3])


async def test_a_pairing_is_announced_after_its_credentials_are_committed(autojump_clock: MockClock) -> None:
    """Promise 3 for pairing: while the commit hangs the company is not connected, although WhatsApp says so."""
    world = World(engine=FakeEngine(jid=None), storage_hook=refuse_writes)
    async with company(world) as running:
        await running.settle()
        world.engine.offers()
        await running.ref.ask(Initialize())
        world.engine.say(
            protocol.JournalDelta(position=3, creds=b"{}", keys=()),
            protocol.Paired(jid="79000000001:1@s.whatsapp.net", lid=None, platform="test", position=3),
            protocol.Connected(jid="79000000001:1@s.whatsapp.net", lid=None),
        )
        before = await running.settle()
        world.storage_hook = lambda m: None
        await trio.sleep(1)

        assert before.status is CompanyState.CONNECTING
        assert (await running.status()).status is CompanyState.CONNECTED


async def test_linking_by_code(autojump_clock: MockClock) -> None:
    """Initialize with a phone replies with the pairing code."""
    world = World(engine=FakeEngine(jid=None))
    async with company(world) as running:
        await running.settle()
        world.engine.offers()
        shown = await running.ref.ask(Initialize(method="code", phone="79000000001"))

        assert (shown.method, shown.pairing_code, shown.qr) == ("code", "ABCD-1234", None)


async def test_a_qr_nobody_scans_expires(autojump_clock: MockClock) -> None:
    """After 160 s the company is unlinked again, its engine connection is closed and no QR is on offer."""
    world = World(engine=FakeEngine(jid=None))
    world.engine.offers()
    async with company(world) as running:
        await running.settle()
        await running.ref.ask(Initialize())
        await trio.sleep(161)
        with pytest.raises(Refused) as refusal:
            await running.ref.ask(GetOffer())

        assert refusal.value.code == "no_qr"
        assert (await running.status()).status is CompanyState.UNLINKED
        assert world.engine.socket is None


async def test_a_linked_company_is_not_linked_again(autojump_clock: MockClock) -> None:
    """Promise 4: initialize never replaces an identity."""
    async with company(World()) as running:
        await running.settle()
        with pytest.raises(Refused) as refusal:
            await running.ref.ask(Initialize())

        assert refusal.value.code == "already_linked"


async def test_logout_by_an_operator(autojump_clock: MockClock) -> None:
    """Unlinked at WhatsApp, archived in Postgres."""
    world = World()
    async with company(world) as running:
        await running.settle()
        status = await running.ref.ask(Logout())

        assert status.status is CompanyState.LOGGED_OUT
        assert (status.phone_number, world.engine.calls(protocol.Logout)) == (None, 1)


async def test_a_logout_told_twice_is_archived_once(autojump_clock: MockClock) -> None:
    """WhatsApp confirms the call and closes the stream with 401 as well."""
    world = World()
    world.engine.hook = lambda m: (
        [protocol.Done(call=m.call), protocol.Closed(kind="logged_out", code=401)]
        if isinstance(m, protocol.Logout)
        else None
    )
    async with company(world) as running:
        await running.settle()
        status = await running.ref.ask(Logout())
        await running.settle()

        assert status.status is CompanyState.LOGGED_OUT
        assert sum(isinstance(message, ArchiveAuth) for message in world.stored) == 1


async def test_nothing_is_linked_while_the_old_identity_is_being_archived(autojump_clock: MockClock) -> None:
    """Postgres is away during a logout: initialize is refused until the archive has it, then it works."""
    world = World()

    def away(message: Any) -> None:
        if isinstance(message, ArchiveAuth):
            raise Refused("storage_unavailable", "away")

    async with company(world) as running:
        await running.settle()
        world.storage_hook = away
        world.engine.say(protocol.Closed(kind="logged_out", code=401))
        await running.settle()
        with pytest.raises(Refused, match="archived"):
            await running.ref.ask(Initialize())
        world.storage_hook = lambda m: None
        world.engine.jid = None
        world.engine.offers()
        await trio.sleep(5)

        assert (await running.ref.ask(Initialize())).qr == "qr-1"
        assert any(isinstance(m, protocol.Open) and m.discard_file for m in world.engine.seen)
