"""A handler that blocks the daemon is named in the log."""

from __future__ import annotations

import time
from typing import Any

from structlog.testing import capture_logs

from actors.daemon.blocking import log_blocking
from supervisor import Actor, ChildSpec, Request, SupervisorSpec, open_system


class Sleep(Request[None]):
    pass


class Blocker(Actor):
    """Blocks the event loop, which an actor must not do."""

    async def receive(self, message: Any) -> Any:
        time.sleep(0.21)  # noqa: ASYNC251 - the point


async def test_s5_a_blocking_call_makes_one_line_that_names_the_actor() -> None:
    """0.2 s in the event loop are one warning with the actor's path and the time."""
    with capture_logs() as logs, log_blocking(0.2):
        async with open_system(SupervisorSpec([ChildSpec("blocker", lambda _: Blocker())])) as system:
            await system.ref("/blocker").ask(Sleep())

    (line,) = [line for line in logs if line.get("task") == "/blocker"]
    assert (line["event"], line["log_level"]) == ("blocked", "warning")
    assert 0.2 <= line["seconds"] < 60
