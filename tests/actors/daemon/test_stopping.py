"""The stop within its limit, and what it cuts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
import trio

from actors.daemon.notify import ServiceManager
from actors.daemon.signals import Signals
from actors.daemon.stopping import Stopper
from supervisor import Actor, ChildSpec, DynamicSupervisorSpec, SupervisorSpec, open_system


class Sound(Actor):
    """Stops when it is asked to."""


class Shielded(Actor):
    """Reports that it is busy, and does not end before it is released."""

    def __init__(self, busy: trio.Event, let_go: trio.Event) -> None:
        self.busy = busy
        self.let_go = let_go

    async def receive(self, message: object) -> None:
        with trio.CancelScope(shield=True):
            self.busy.set()
            await self.let_go.wait()


async def test_a_stop_in_time_cuts_nothing() -> None:
    """SIGTERM ends the tree in order; no actor is killed."""
    left: list[bool] = []
    children = [ChildSpec("one", lambda _: Sound()), ChildSpec("many", DynamicSupervisorSpec())]
    async with open_system(SupervisorSpec(children)) as system:
        stopper = Stopper(system, Signals(), within_s=30.0, manager=ServiceManager())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stopper.run, lambda: left.append(True))
            await trio.testing.wait_all_tasks_blocked()
            os.kill(os.getpid(), signal.SIGTERM)
            reason = await system.wait_terminated()

    assert (str(reason), stopper.cut, left) == ("shutdown", (), [])


async def test_what_does_not_stop_is_cut_and_named() -> None:
    """At the limit the process is to leave, with the paths of the actors it cuts."""
    busy, let_go = trio.Event(), trio.Event()
    children = [ChildSpec("sound", lambda _: Sound()), ChildSpec("stuck", lambda _: Shielded(busy, let_go))]
    async with open_system(SupervisorSpec(children)) as system:
        system.ref("/stuck").tell("hang")
        await busy.wait()
        stopper = Stopper(system, Signals(), within_s=0.05, manager=ServiceManager())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stopper.run, let_go.set)
            await trio.testing.wait_all_tasks_blocked()
            os.kill(os.getpid(), signal.SIGTERM)

    assert "/stuck" in stopper.cut


async def test_a_second_signal_cuts_the_stop_short() -> None:
    """An operator who presses Ctrl-C twice does not want to wait for the limit."""
    busy, let_go = trio.Event(), trio.Event()
    async with open_system(SupervisorSpec([ChildSpec("stuck", lambda _: Shielded(busy, let_go))])) as system:
        system.ref("/stuck").tell("hang")
        await busy.wait()
        stopper = Stopper(system, Signals(), within_s=600.0, manager=ServiceManager())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stopper.run, let_go.set)
            await trio.testing.wait_all_tasks_blocked()
            os.kill(os.getpid(), signal.SIGINT)
            await trio.testing.wait_all_tasks_blocked()
            os.kill(os.getpid(), signal.SIGINT)

    assert stopper.cut == ("/stuck",)


HANGING = """
import trio
from actors.daemon.signals import Signals
from actors.daemon.stopping import ending_within
from supervisor import Actor, ChildSpec, SupervisorSpec, open_system

class Stuck(Actor):
    async def receive(self, message):
        with trio.CancelScope(shield=True):
            await trio.sleep_forever()

async def main():
    async with open_system(SupervisorSpec([ChildSpec("stuck", lambda _: Stuck(), shutdown=0.05)])) as system:
        with ending_within(0.5):
            system.ref("/stuck").tell("hang")
            await trio.sleep(0.1)
            {last}

trio.run(main)
"""


@pytest.mark.parametrize("last", ["raise MemoryError", "system.kill('/')", "pass"])
def test_a_tree_that_hangs_at_the_end_ends_with_the_process(last: str) -> None:
    """The daemon stops unasked: something in it failed, or its root did, and an actor does not end. The kernel ends the process."""
    ended = subprocess.run(
        [sys.executable, "-c", HANGING.format(last=last)], capture_output=True, text=True, timeout=60, check=False
    )

    assert ended.returncode == -signal.SIGALRM, ended.stderr
    assert ("MemoryError" in ended.stdout) == ("MemoryError" in last)
