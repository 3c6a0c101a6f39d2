"""storage/database/gate.py: who may try to connect, and when."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import TypeVar, final

import pytest

from storage.database.gate import ReconnectGate

T = TypeVar("T")


@final
class Server:
    """A server that can be away, and counts the attempts to connect."""

    def __init__(self) -> None:
        self.away = True
        self.knocks: list[float] = []
        self.at_once = 0
        self.most_at_once = 0

    async def connect(self) -> str:
        self.knocks.append(asyncio.get_running_loop().time())
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once if self.away else 0)
        try:
            await asyncio.sleep(0)
            if self.away:
                raise ConnectionRefusedError
            return "connected"
        finally:
            self.at_once -= 1


def on_virtual_time(scenario: Callable[[], Awaitable[T]]) -> T:
    """Run a scenario on a loop whose clock jumps to the next timer."""
    loop = asyncio.new_event_loop()
    now = 0.0
    select = loop._selector.select  # type: ignore[attr-defined]

    def jump(timeout: float | None) -> object:
        nonlocal now
        now += timeout or 0.0
        return select(0)  # pyright: ignore[reportUnknownVariableType]

    loop._selector.select = jump  # type: ignore[attr-defined]
    loop.time = lambda: now  # type: ignore[method-assign]
    try:
        return loop.run_until_complete(scenario())
    finally:
        loop.close()


def test_attempts_back_off() -> None:
    """Pauses between failures double from 25-50 ms up to 1-2 s."""

    async def scenario() -> list[float]:
        gate, server = ReconnectGate(), Server()
        for _ in range(10):
            with pytest.raises(ConnectionRefusedError):
                await gate.attempt(server.connect)
        return server.knocks

    knocks = on_virtual_time(scenario)

    pauses = [later - earlier for earlier, later in pairwise(knocks)]
    limits = [min(2.0, 0.05 * 2**n) for n in range(9)]
    assert all(limit / 2 <= pause <= limit + 1e-6 for pause, limit in zip(pauses, limits, strict=True))


def test_a_closed_gate_lets_one_through_at_a_time() -> None:
    """While the server is away a hundred callers make one attempt at a time, and all get through once it is back."""

    async def scenario() -> tuple[list[str], Server, ReconnectGate]:
        gate, server = ReconnectGate(), Server()
        with pytest.raises(ConnectionRefusedError):
            await gate.attempt(server.connect)

        async def patient() -> str:
            while True:
                try:
                    return await gate.attempt(server.connect)
                except ConnectionRefusedError:
                    server.away = len(server.knocks) < 8

        results = await asyncio.gather(*(patient() for _ in range(100)))
        return results, server, gate

    results, server, gate = on_virtual_time(scenario)

    assert results == ["connected"] * 100
    assert server.most_at_once == 1
    assert len(server.knocks) == 8 + 100
    assert gate.is_open


def test_failures_that_began_together_count_as_one() -> None:
    """Ten refusals at once close the gate for the first pause, not for the tenth."""

    async def scenario() -> float:
        gate, server = ReconnectGate(), Server()
        refused = await asyncio.gather(*(gate.attempt(server.connect) for _ in range(10)), return_exceptions=True)
        assert len(refused) == 10
        server.away = False
        await gate.attempt(server.connect)
        return server.knocks[-1]

    assert on_virtual_time(scenario) <= 0.05 + 1e-6


def test_a_cancelled_attempt_is_a_failure() -> None:
    """An attempt that its caller cancelled closes the gate like a refused one, and the gate goes on working."""

    async def scenario() -> tuple[bool, str]:
        gate, server = ReconnectGate(), Server()
        server.away = False
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(gate.attempt(asyncio.get_running_loop().create_future), 1.0)
        was_open = gate.is_open
        return was_open, await gate.attempt(server.connect)

    assert on_virtual_time(scenario) == (False, "connected")
