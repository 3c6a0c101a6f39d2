"""The same work with Pykka or triotp: ``peers.py pykka|triotp`` prints microseconds by measure, as JSON.

A file of its own, run by path, because triotp 0.2.1 needs a trio that the core does not run on. Pykka's actors are threads, so its times
are wall times; triotp's are CPU times.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from types import ModuleType
from typing import Any

COUNT = 3_000
ACTORS = 300


def measure_pykka() -> dict[str, float]:
    """Measure tell, ask and spawn."""
    pykka: Any = importlib.import_module("pykka")

    class Worker(pykka.ThreadingActor):  # type: ignore[misc]
        def on_receive(self, message: Any) -> Any:
            return message

    ref = Worker.start()
    begun = time.perf_counter()
    for number in range(COUNT):
        ref.tell(number)
    ref.ask(0)
    told = time.perf_counter()
    for number in range(COUNT):
        ref.ask(number)
    asked = time.perf_counter()
    refs = [Worker.start() for _ in range(ACTORS)]
    spawned = time.perf_counter()
    pykka.ActorRegistry.stop_all()
    assert len(refs) == ACTORS
    return {
        "tell": (told - begun) / COUNT * 1e6,
        "ask": (asked - told) / COUNT * 1e6,
        "spawn with ack": (spawned - asked) / ACTORS * 1e6,
    }


def measure_triotp() -> dict[str, float]:
    """Measure tell, ask and spawn."""
    trio, mailbox, gen_server = (
        importlib.import_module(name) for name in ("trio", "triotp.mailbox", "triotp.gen_server")
    )
    supervisor, dynamic = (importlib.import_module(name) for name in ("triotp.supervisor", "triotp.dynamic_supervisor"))
    server = ModuleType("server")
    times: dict[str, float] = {}

    async def init(_: Any) -> None:
        return None

    async def handle_call(message: Any, _: Any, state: Any) -> Any:
        return gen_server.Reply(payload=message), state

    async def handle_cast(_: Any, state: Any) -> Any:
        return gen_server.NoReply(), state

    vars(server).update(init=init, handle_call=handle_call, handle_cast=handle_cast)

    async def main() -> None:
        mailbox._init()  # noqa: SLF001 - what triotp's node.run does
        async with trio.open_nursery() as nursery:
            nursery.start_soon(gen_server.start, server, None, "server")
            nursery.start_soon(dynamic.start, supervisor.options(), "pool")
            await trio.testing.wait_all_tasks_blocked()
            specs = [
                supervisor.child_spec(id=str(number), task=gen_server.start, args=[server, None, str(number)])
                for number in range(ACTORS)
            ]
            times["tell"] = await clocked([(gen_server.cast, "server", number) for number in range(COUNT)])
            times["ask"] = await clocked([(gen_server.call, "server", number) for number in range(COUNT)])
            times["spawn with ack"] = await clocked([(dynamic.start_child, "pool", spec) for spec in specs])
            nursery.cancel_scope.cancel()

    importlib.import_module("trio.testing")
    trio.run(main)
    return times


async def clocked(calls: list[tuple[Any, ...]]) -> float:
    """Return the microseconds of CPU time for each call, made one after the other."""
    begun = time.process_time()
    for function, *arguments in calls:
        await function(*arguments)
    return (time.process_time() - begun) / len(calls) * 1e6


def main(name: str) -> None:
    """Print the figures of the library of that name."""
    json.dump({"pykka": measure_pykka, "triotp": measure_triotp}[name](), sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1])
