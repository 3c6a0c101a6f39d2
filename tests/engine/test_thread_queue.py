"""From the library's threads into trio: bounded, in order, nothing lost."""

from __future__ import annotations

import threading

import trio
import trio.lowlevel

from actors.engine.thread_queue import ThreadQueue


async def test_items_arrive_in_the_order_they_were_put() -> None:
    """One producing thread, everything in order."""
    queue: ThreadQueue[int] = ThreadQueue(4)

    def produce() -> None:
        for number in range(200):
            queue.put(number)

    threading.Thread(target=produce).start()

    assert [await queue.get() for _ in range(200)] == list(range(200))


async def test_a_full_queue_makes_its_producer_wait() -> None:
    """The library waits instead of losing an item."""
    queue: ThreadQueue[int] = ThreadQueue(2)
    put: list[int] = []

    def produce() -> None:
        for number in range(5):
            queue.put(number)
            put.append(number)

    thread = threading.Thread(target=produce)
    thread.start()
    while len(put) < 2:
        await trio.lowlevel.checkpoint()
    held_back = len(put) == 2 and thread.is_alive()

    assert held_back
    assert [await queue.get() for _ in range(5)] == [0, 1, 2, 3, 4]


async def test_closing_lets_a_waiting_producer_go() -> None:
    """A thread of the library never stays behind when its event is no longer taken."""
    queue: ThreadQueue[int] = ThreadQueue(1)
    results: list[bool] = []

    def produce() -> None:
        results.append(queue.put(1))
        results.append(queue.put(2))

    thread = threading.Thread(target=produce)
    thread.start()
    while not results:
        await trio.lowlevel.checkpoint()

    queue.close()
    await trio.to_thread.run_sync(thread.join)

    assert results == [True, False]
    assert queue.get_nowait() == 1


async def test_many_producers_lose_nothing() -> None:
    """Events of several threads all arrive, each thread's in its order."""
    queue: ThreadQueue[tuple[int, int]] = ThreadQueue(3)

    def produce(thread: int) -> None:
        for number in range(100):
            queue.put((thread, number))

    for thread in range(4):
        threading.Thread(target=produce, args=(thread,)).start()
    taken = [await queue.get() for _ in range(400)]

    for thread in range(4):
        assert [number for who, number in taken if who == thread] == list(range(100))


async def test_a_cancelled_get_takes_nothing() -> None:
    """An item that comes later is still there for the next taker."""
    queue: ThreadQueue[int] = ThreadQueue(1)
    with trio.move_on_after(0):
        await queue.get()

    await trio.to_thread.run_sync(queue.put, 1)

    assert await queue.get() == 1


def test_a_put_after_trio_has_ended_is_harmless() -> None:
    """The library's threads outlive the loop when the process ends."""
    queues: list[ThreadQueue[int]] = []

    async def make() -> None:
        queues.append(ThreadQueue(4))

    trio.run(make)

    assert queues[0].put(1) is False
