"""OTP's supervisor suite, cases child_unlink and tree: each test bears the name of its case."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from supervisor import ChildSpec, Intensity, Strategy, SupervisorSpec, open_system
from supervisor.errors import ActorStopped, ChildStuck
from tests.supervisor.otp.kit import open_sup
from tests.supervisor.probes import Journal, Ping, Run, probe


async def test_child_unlink(autojump_clock: MockClock) -> None:
    """A child that shields itself from cancellation does not hang terminate_child: it is reported as stuck."""

    async def shield(_: object) -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(1000)

    async with open_sup([probe("a", shutdown=1.0), probe("b")]) as sup:
        sup.child("a").tell(Run(shield))
        await wait_all_tasks_blocked()
        with pytest.raises(ChildStuck):
            await sup.ref.terminate_child("a")

        assert trio.current_time() == 1.0 + 5.0
        assert sup.journal.kinds("/sup/a")[-1] == "stuck"
        assert await sup.incarnations() == {"b": 1}
        await trio.sleep(1000)
        assert await sup.states() == {"a": "stopped", "b": "running"}


async def test_tree_worker() -> None:
    """When a worker dies only it is restarted, however deep."""
    async with open_system(tree(), on_event=Journal().on_event) as system:
        system.kill("/sup1/a")
        assert await system.ref("/sup1/a").ask(Ping()) == 2

        assert await system.ref("/sup1/b").ask(Ping()) == 1
        assert await system.ref("/sup2/c").ask(Ping()) == 1


async def test_tree_supervisor() -> None:
    """When a supervisor dies its declared children come back, under the same refs; those added later do not."""
    async with open_system(tree(Strategy.ONE_FOR_ONE), on_event=Journal().on_event) as system:
        declared = system.ref("/sup1/a")
        added = await system.supervisor("/sup1").start_child(probe("added"))
        system.kill("/sup1")
        assert await declared.ask(Ping()) == 2

        assert await system.ref("/sup2/c").ask(Ping()) == 1
        assert [child.id for child in system.snapshot("/sup1").children] == ["a", "b"]
        with pytest.raises(ActorStopped):
            await added.ask(Ping())


async def test_tree_one_for_all_restarts_what_was_terminated() -> None:
    """A one_for_all parent starts a sibling supervisor again that had been terminated by request."""
    async with open_system(tree(), on_event=Journal().on_event) as system:
        await system.supervisor("/").terminate_child("sup2")
        system.kill("/sup1")
        assert await system.ref("/sup1/a").ask(Ping()) == 2
        await wait_all_tasks_blocked()

        assert await system.ref("/sup2/c").ask(Ping()) == 2


async def test_tree_escalation() -> None:
    """A supervisor that spends its budget ends with its children, and its parent restarts it as a whole."""
    async with open_system(tree(Strategy.ONE_FOR_ONE), on_event=Journal().on_event) as system:
        for _ in range(2):
            system.kill("/sup1/a")
            await wait_all_tasks_blocked()

        assert system.snapshot("/sup1").incarnation == 2
        assert await system.ref("/sup1/b").ask(Ping()) == 2
        assert await system.ref("/sup2/c").ask(Ping()) == 1


def tree(strategy: Strategy = Strategy.ONE_FOR_ALL) -> SupervisorSpec:
    """Two supervisors below a root of ``strategy``."""
    return SupervisorSpec(
        [
            ChildSpec("sup1", SupervisorSpec([probe("a"), probe("b")])),
            ChildSpec("sup2", SupervisorSpec([probe("c")])),
        ],
        strategy=strategy,
        intensity=Intensity(10, 5.0),
    )
