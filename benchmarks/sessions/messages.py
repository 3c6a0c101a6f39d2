"""Sends texts at a steady pace from all companies, through the API to a real recipient, and measures the responses."""

from __future__ import annotations

from typing import Final

import trio

from benchmarks.caller import Caller, UnexpectedAnswerError
from benchmarks.sessions.figures import Figures, Latencies
from tests.support.api import Api
from tests.support.daemon import Daemon
from tests.support.eventually import eventually
from tests.support.site import User

MESSAGES_PER_S: Final = 50
STEADY_S: Final = 60.0
ARRIVE_WITHIN_S: Final = 120.0


async def exchange(daemon: Daemon, api: Api, figures: Figures) -> None:
    """Have each company write to the next one: first a message each, then for `STEADY_S`. Every acknowledged text must arrive."""
    after = await api.last_seq()
    figures.first_messages = await _send(daemon, figures.companies, figures.companies)
    figures.messages = await _send(daemon, figures.companies, round(MESSAGES_PER_S * STEADY_S))
    wanted = len(figures.first_messages.sorted_s) + len(figures.messages.sorted_s)

    async def arrived() -> bool:
        return len(await api.events(after, kind="message")) >= wanted

    await eventually(f"{wanted} messages to arrive", arrived, within=ARRIVE_WITHIN_S)


async def _send(daemon: Daemon, companies: int, count: int) -> Latencies:
    """Send ``count`` texts, evenly spread over companies and time."""
    taken: list[float] = []
    failed: list[str] = []
    free: list[Caller] = []

    async def send_one(number: int) -> None:
        sender, recipient = User(number % companies + 1), User((number + 1) % companies + 1)
        caller = free.pop() if free else Caller(daemon)
        began = trio.current_time()
        try:
            await caller.send(sender.company, recipient.phone, f"text {number}")
        except (UnexpectedAnswerError, OSError, trio.BrokenResourceError, trio.TooSlowError) as error:
            caller.close()
            failed.append(f"{type(error).__name__}: {error}")
        else:
            taken.append(trio.current_time() - began)
            free.append(caller)

    async with trio.open_nursery() as nursery:
        began = trio.current_time()
        for number in range(count):
            await trio.sleep_until(began + number / MESSAGES_PER_S)
            nursery.start_soon(send_one, number)
    for caller in free:
        caller.close()
    for text in sorted(set(failed))[:3]:
        print("not sent: ", text[:200])
    return Latencies(tuple(sorted(taken)), len(failed))
