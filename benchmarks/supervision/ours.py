"""The work with supervised actors. Each function returns CPU seconds unless it says otherwise."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from math import inf
from typing import Any

import trio
import trio.testing

from actors.daemon.gc_tuning import frozen
from supervisor import (
    Actor,
    ActorRef,
    ChildSpec,
    Context,
    DynamicSupervisorSpec,
    Intensity,
    LifecycleEvent,
    MailboxSpec,
    Request,
    SupervisorSpec,
    System,
    TraceEvent,
    open_system,
)

UNBOUNDED = MailboxSpec(capacity=1_000_000)


@dataclass(frozen=True, slots=True)
class Ask(Request[int]):
    pass


CRASH = object()
ASK = Ask()


class Worker(Actor):
    """Takes messages, replies to an ask, and crashes on request."""

    async def receive(self, message: Any) -> Any:
        if message is CRASH:
            raise RuntimeError("as told")
        return 1


def _ignore(_: LifecycleEvent | TraceEvent) -> None:
    pass


def _start(_: Context) -> Worker:
    return Worker()


def _spec(child_id: str, mailbox: MailboxSpec = UNBOUNDED) -> ChildSpec:
    return ChildSpec(child_id, _start, mailbox=mailbox)


@asynccontextmanager
async def _system(*children: ChildSpec, traced: bool = False, freeze_gc: bool = False) -> AsyncGenerator[System]:
    spec = SupervisorSpec(children, intensity=Intensity(1_000_000, 1.0))
    async with open_system(spec, on_event=_ignore) as system, AsyncExitStack() as stack:
        if freeze_gc:
            stack.enter_context(frozen())
        if traced:
            for child in children:
                system.trace(f"/{child.id}", _ignore)
        yield system


async def tell(count: int, *, traced: bool = False) -> float:
    async with _system(_spec("a"), traced=traced) as system:
        ref = system.ref("/a")
        begun = time.process_time()
        for number in range(count):
            ref.tell(number)
        await ref.ask(ASK, timeout=inf)
        return time.process_time() - begun


async def send(count: int, *, traced: bool = False) -> float:
    async with _system(_spec("a", MailboxSpec(capacity=1024)), traced=traced) as system:
        ref = system.ref("/a")
        begun = time.process_time()
        for number in range(count):
            await ref.send(number)
        await trio.testing.wait_all_tasks_blocked()
        return time.process_time() - begun


async def fan(consumers: int, count: int, *, traced: bool = False) -> float:
    async with _system(*(_spec(f"a{number}") for number in range(consumers)), traced=traced) as system:
        refs = [system.ref(f"/a{number}") for number in range(consumers)]
        begun = time.process_time()
        for number in range(count):
            for ref in refs:
                ref.tell(number)
        await trio.testing.wait_all_tasks_blocked()
        return time.process_time() - begun


async def ask(count: int, *, timeout: float = inf, traced: bool = False) -> float:
    async with _system(_spec("a"), traced=traced) as system:
        ref = system.ref("/a")
        begun = time.process_time()
        for _ in range(count):
            await ref.ask(ASK, timeout=timeout)
        return time.process_time() - begun


@asynccontextmanager
async def _dynamic(*, freeze_gc: bool = False) -> AsyncGenerator[System]:
    spec = DynamicSupervisorSpec(intensity=Intensity(1_000_000, 1.0))
    async with _system(ChildSpec("dyn", spec), freeze_gc=freeze_gc) as system:
        yield system


async def _fill(system: System, count: int, *, traced: bool = False) -> list[ActorRef]:
    start_child = system.supervisor("/dyn").start_child
    refs = [await start_child(_spec(f"w{number}")) for number in range(count)]
    for ref in refs if traced else ():
        system.trace(ref.path, _ignore)
    return refs


async def spawn(count: int) -> float:
    async with _dynamic() as system:
        begun = time.process_time()
        await _fill(system, count)
        return time.process_time() - begun


async def stop_together(count: int) -> float:
    """With the collector passing over what is there, as wasup itself runs."""
    async with _dynamic(freeze_gc=True) as system:
        await _fill(system, count)
        begun = time.process_time()
        gc.freeze()
        await system.stop()
        return time.process_time() - begun


async def stop_in_reverse(count: int) -> float:
    """With the collector passing over what is there, as wasup itself runs."""
    async with _system(*(_spec(f"w{number}") for number in range(count)), freeze_gc=True) as system:
        begun = time.process_time()
        gc.freeze()
        await system.stop()
        return time.process_time() - begun


async def restart(siblings: int, count: int, *, traced: bool = False) -> float:
    """Median CPU seconds from a crash to the answer of the next incarnation."""
    async with _dynamic() as system:
        refs = await _fill(system, siblings, traced=traced)
        ref, taken = refs[0], list[float]()
        for _ in range(count):
            begun = time.process_time()
            ref.tell(CRASH)
            await ref.ask(ASK, timeout=inf)
            taken.append(time.process_time() - begun)
        return statistics.median(taken)


async def storm(count: int, *, traced: bool = False) -> float:
    """CPU seconds until all of ``count`` actors that crash at once answer again."""
    async with _dynamic() as system:
        refs = await _fill(system, count, traced=traced)
        begun = time.process_time()
        for ref in refs:
            ref.tell(CRASH)
        async with trio.open_nursery() as nursery:
            for ref in refs:
                nursery.start_soon(_ask, ref)
        return time.process_time() - begun


async def _ask(ref: ActorRef) -> None:
    await ref.ask(ASK, timeout=inf)


async def idle(count: int) -> None:
    """Idle actors, for the measure of memory; runs until cancelled."""
    async with _dynamic() as system:
        await _fill(system, count)
        await trio.sleep_forever()


async def used(count: int) -> None:
    """The same of actors that have handled a message each."""
    async with _dynamic() as system:
        for ref in await _fill(system, count):
            await ref.ask(ASK)
        await trio.sleep_forever()
