"""A company leaves WhatsApp when its daemon has sent nothing for too long (L3)."""

from __future__ import annotations

import time
from pathlib import Path

import trio
from trio.testing import MockClock

from actors.engine.lease_deadline import LeaseDeadline
from actors.engine.protocol import messages as p
from tests.engine.companies import A, linked
from tests.engine.daemon import run_engine
from tests.loopback.server import open_loopback


async def expires_after(lease_deadline: LeaseDeadline) -> float:
    began = trio.current_time()
    await lease_deadline.wait_expired()
    return trio.current_time() - began


async def test_it_expires_when_the_time_is_over(autojump_clock: MockClock) -> None:
    """Counted from the given moment, not from its arrival."""
    assert await expires_after(LeaseDeadline(trio.current_time() + 5.0, clock=trio.current_time)) == 5.0


async def test_it_is_extended_and_never_shortened(autojump_clock: MockClock) -> None:
    """The later of all ends counts."""
    began = trio.current_time()
    lease_deadline = LeaseDeadline(began + 5.0, clock=trio.current_time)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lease_deadline.wait_expired)
        await trio.sleep(4.0)
        lease_deadline.extend(began + 9.0)
        lease_deadline.extend(began + 7.0)

    assert trio.current_time() - began == 9.0


async def test_one_that_is_over_already_expires_at_once(autojump_clock: MockClock) -> None:
    """The daemon was stopped between taking the lease and opening the company."""
    assert await expires_after(LeaseDeadline(trio.current_time() - 1.0, clock=trio.current_time)) == 0.0


async def test_the_engine_leaves_whatsapp_by_itself(tmp_path: Path) -> None:
    """The socket closes soon after the end, and stays open as long as the lease is extended; the log says why."""
    async with open_loopback() as loopback, run_engine(tmp_path, loopback.endpoints.environment()) as engine:
        first = await linked(engine, loopback, "a", A)
        await first._socket.aclose()
        await loopback.journal.wait_until(lambda: loopback.connections() == 0)
        link = await engine.link("a", first.record)
        await link.open(loopback.endpoints.proxy_url, lease_until=time.monotonic() + 3.0)
        await link.call(p.Connect)
        await link.hear(p.Connected)
        extended = time.monotonic() + 5.0
        await link.send(p.LeaseExtended(until=extended))
        with trio.fail_after(60):
            await loopback.journal.wait_until(lambda: loopback.connections() == 0)
        left = time.monotonic()

    assert left >= extended
    assert "has not renewed this company's lease in time" in (tmp_path / "engine.log").read_text()
