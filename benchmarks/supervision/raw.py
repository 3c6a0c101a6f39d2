"""The yardstick: the same work with bare trio tasks and memory channels. Each function returns CPU seconds."""

from __future__ import annotations

import time
from math import inf
from typing import Any

import trio
import trio.testing


async def _drain(receiver: trio.MemoryReceiveChannel[Any]) -> None:
    async for _ in receiver:
        pass


async def tell(count: int) -> float:
    """One producer, one consumer, an unbounded channel."""
    sender, receiver = trio.open_memory_channel[int](inf)
    begun = time.process_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_drain, receiver)
        for number in range(count):
            sender.send_nowait(number)
        await sender.aclose()
    return time.process_time() - begun


async def send(count: int) -> float:
    """One producer that waits for room, one consumer, a channel of 1024."""
    sender, receiver = trio.open_memory_channel[int](1024)
    begun = time.process_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_drain, receiver)
        for number in range(count):
            await sender.send(number)
        await sender.aclose()
    return time.process_time() - begun


async def fan(consumers: int, count: int) -> float:
    """One producer, many consumers, ``count`` messages to each."""
    channels = [trio.open_memory_channel[int](inf) for _ in range(consumers)]
    async with trio.open_nursery() as nursery:
        for _, receiver in channels:
            nursery.start_soon(_drain, receiver)
        await trio.testing.wait_all_tasks_blocked()
        begun = time.process_time()
        for number in range(count):
            for sender, _ in channels:
                sender.send_nowait(number)
        for sender, _ in channels:
            sender.close()
    return time.process_time() - begun


async def _serve(receiver: trio.MemoryReceiveChannel[trio.MemorySendChannel[int]]) -> None:
    async for reply in receiver:
        reply.send_nowait(1)


async def ask(count: int) -> float:
    """Requests one after the other, each with a channel for its answer."""
    sender, receiver = trio.open_memory_channel[trio.MemorySendChannel[int]](inf)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_serve, receiver)
        begun = time.process_time()
        for _ in range(count):
            answer_sender, answer_receiver = trio.open_memory_channel[int](1)
            sender.send_nowait(answer_sender)
            await answer_receiver.receive()
        elapsed = time.process_time() - begun
        await sender.aclose()
    return elapsed


async def _child(task_status: trio.TaskStatus[trio.MemorySendChannel[int]]) -> None:
    sender, receiver = trio.open_memory_channel[int](inf)
    task_status.started(sender)
    async for _ in receiver:
        pass


async def spawn(count: int) -> float:
    """Tasks with a channel each, started with an ack one after the other."""
    async with trio.open_nursery() as nursery:
        begun = time.process_time()
        kept = [await nursery.start(_child) for _ in range(count)]
        elapsed = time.process_time() - begun
        assert len(kept) == count
        nursery.cancel_scope.cancel()
    return elapsed


async def stop(count: int) -> float:
    """Tasks with a channel each, cancelled together."""
    async with trio.open_nursery() as nursery:
        kept = [await nursery.start(_child) for _ in range(count)]
        assert len(kept) == count
        begun = time.process_time()
        nursery.cancel_scope.cancel()
    return time.process_time() - begun


async def idle(count: int) -> None:
    """Tasks with a channel each, for the measure of memory; runs until cancelled."""
    channels = [trio.open_memory_channel[int](inf) for _ in range(count)]
    async with trio.open_nursery() as nursery:
        for _, receiver in channels:
            nursery.start_soon(_drain, receiver)
        await trio.sleep_forever()
