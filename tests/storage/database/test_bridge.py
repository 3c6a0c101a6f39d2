"""storage/database/bridge.py: calls into asyncio, and the effect of cancellation on them."""

from __future__ import annotations

import asyncio
import threading

import pytest
import trio
import trio.testing

from storage.database.bridge import Bridge, BridgeClosed, open_bridge


class Probe:
    """Runs on the asyncio side, tells trio that it has begun, and counts its cancellations."""

    def __init__(self) -> None:
        self.begun = trio.Event()
        self.ended = trio.Event()
        self.cancellations = 0
        self._token = trio.lowlevel.current_trio_token()

    async def wait(self, failure: Exception | None = None) -> None:
        """Wait for ever; once cancelled, clean up over several turns of the loop, then fail or end as cancelled."""
        self._token.run_sync_soon(self.begun.set)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            for _ in range(20):
                await self._step()
            self._token.run_sync_soon(self.ended.set)
            if failure is not None:
                raise failure

    async def count(self, steps: int) -> str:
        """Take some turns of the loop and finish, cancelled or not."""
        self._token.run_sync_soon(self.begun.set)
        for _ in range(steps):
            await self._step()
        self._token.run_sync_soon(self.ended.set)
        return "finished"

    async def _step(self) -> None:
        try:
            await asyncio.sleep(0.001)
        except asyncio.CancelledError:
            self.cancellations += 1


async def test_a_result_comes_back() -> None:
    """The coroutine runs on an asyncio loop in another thread, and its result is returned."""

    async def where(name: str) -> tuple[str, int, str]:
        return name, threading.get_ident(), type(asyncio.get_running_loop()).__module__

    async with open_bridge() as bridge:
        name, thread, loop = await bridge.call(where, "there")

    assert name == "there"
    assert thread != threading.get_ident()
    assert loop.startswith("uvloop")


async def test_an_exception_comes_back() -> None:
    """What the coroutine raises is raised in the caller."""

    async def fail() -> None:
        raise LookupError("nothing there")

    async with open_bridge() as bridge:
        with pytest.raises(LookupError, match="nothing there"):
            await bridge.call(fail)


async def test_cancellation_is_delivered_once() -> None:
    """The coroutine gets one cancellation and cleans up undisturbed; the caller waits for that."""
    probe = Probe()

    async def cancel_when_begun(scope: trio.CancelScope) -> None:
        await probe.begun.wait()
        scope.cancel()

    async with open_bridge() as bridge, trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            nursery.start_soon(cancel_when_begun, scope)
            await bridge.call(probe.wait)

        assert scope.cancelled_caught
        await trio.testing.wait_all_tasks_blocked()
        assert probe.ended.is_set()
        assert probe.cancellations == 0


async def test_an_error_while_cleaning_up_does_not_hide_the_cancellation() -> None:
    """A cancelled caller stays cancelled, whatever the coroutine raised at its end."""
    probe = Probe()

    async def cancel_when_begun(scope: trio.CancelScope) -> None:
        await probe.begun.wait()
        scope.cancel()

    async with open_bridge() as bridge, trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            nursery.start_soon(cancel_when_begun, scope)
            await bridge.call(probe.wait, LookupError("while cleaning up"))

    assert scope.cancelled_caught


async def test_a_shielded_call_finishes_and_its_outcome_is_learned() -> None:
    """A caller that is cancelled while a shielded call runs gets its result, and the call was not cancelled."""
    probe = Probe()
    outcome: list[str] = []

    async def cancel_when_begun(scope: trio.CancelScope) -> None:
        await probe.begun.wait()
        scope.cancel()

    async with open_bridge() as bridge, trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            nursery.start_soon(cancel_when_begun, scope)
            outcome.append(await bridge.call_shielded(probe.count, 20))
            await trio.lowlevel.checkpoint()

    assert outcome == ["finished"]
    assert probe.cancellations == 0
    assert scope.cancelled_caught


async def test_a_cancelled_caller_does_not_begin_a_shielded_call() -> None:
    """Cancelled before it begins, a shielded call never runs."""
    probe = Probe()

    async with open_bridge() as bridge:
        with trio.CancelScope() as scope:
            scope.cancel()
            await bridge.call_shielded(probe.count, 1)
        await bridge.call(asyncio.sleep, 0)

    assert scope.cancelled_caught
    assert not probe.begun.is_set()


async def test_a_call_after_the_end_is_refused() -> None:
    """A closed bridge answers at once with BridgeClosed."""
    async with open_bridge() as bridge:
        pass

    with pytest.raises(BridgeClosed):
        await bridge.call(asyncio.sleep, 0)


async def test_closing_ends_calls_under_way() -> None:
    """A call still running when the bridge closes ends with BridgeClosed, and the thread is gone afterwards."""
    probe = Probe()
    ended: list[BaseException] = []

    async def call(bridge: Bridge) -> None:
        try:
            await bridge.call(probe.wait)
        except BridgeClosed as exc:
            ended.append(exc)

    async with trio.open_nursery() as nursery, open_bridge() as bridge:
        nursery.start_soon(call, bridge)
        await probe.begun.wait()

    assert len(ended) == 1
    assert not [thread for thread in threading.enumerate() if thread.name == "wasup-asyncio"]
