"""OTP's supervisor suite, groups sup_start and sup_start_map: each test bears the name of its case."""

from __future__ import annotations

import pytest

from supervisor import (
    BRUTAL_KILL,
    IGNORE,
    INFINITY,
    ChildSpec,
    DynamicSupervisorSpec,
    Restart,
    SupervisorSpec,
    open_system,
)
from supervisor.errors import ActorStopped, NoSuchActor, SpecError, StartFailed
from supervisor.tree.choices import Ignored
from tests.supervisor.otp.kit import Switch, open_simple, open_sup
from tests.supervisor.probes import Journal, Ping, probe


async def test_sup_start_normal() -> None:
    """A supervisor without children starts, and stops with reason shutdown."""
    async with open_sup() as sup:
        assert await sup.counts() == [0, 0, 0, 0]
        await sup.system.supervisor("/").terminate_child("sup")

        assert sup.reason == "shutdown"


async def test_sup_start_ignore_init() -> None:
    """A supervisor whose list of children is `IGNORE` does not run, which is no failure; it ends with reason normal."""

    def children() -> Ignored:
        return IGNORE

    async with open_system(SupervisorSpec(children)) as system:
        reason = await system.wait_terminated()

    assert reason.kind == "normal"


async def test_sup_start_ignore_child() -> None:
    """A permanent child that ignores its start keeps its spec and does not run."""
    async with open_sup([probe("a"), Switch("ignore").spec("b")]) as sup:
        assert await sup.states() == {"a": "running", "b": "stopped"}
        assert await sup.counts() == [2, 1, 0, 2]


async def test_sup_start_ignore_temporary_child() -> None:
    """A temporary child that ignores its start is forgotten."""
    ignoring = Switch("ignore").spec("a", restart=Restart.TEMPORARY)
    async with open_sup([ignoring, probe("b", restart=Restart.TEMPORARY)]) as sup:
        assert await sup.states() == {"b": "running"}
        assert await sup.counts() == [1, 1, 0, 1]


async def test_sup_start_ignore_temporary_child_start_child() -> None:
    """The same through start_child, which returns the ref of an actor that does not run."""
    async with open_sup() as sup:
        ref = await sup.ref.start_child(Switch("ignore").spec("a", restart=Restart.TEMPORARY))

        with pytest.raises(ActorStopped):
            ref.tell("hello")
        assert await sup.counts() == [0, 0, 0, 0]


async def test_sup_start_ignore_temporary_child_start_child_simple() -> None:
    """The same under a dynamic supervisor."""
    async with open_simple() as sup:
        await sup.ref.start_child(Switch("ignore").spec("a", restart=Restart.TEMPORARY))

        assert await sup.counts() == [0, 0, 0, 0]


async def test_sup_start_ignore_permanent_child_start_child_simple() -> None:
    """A dynamic supervisor forgets an ignoring permanent child too, and still stops cleanly."""
    async with open_simple() as sup:
        await sup.ref.start_child(Switch("ignore").spec("a"))
        assert await sup.counts() == [0, 0, 0, 0]
        await sup.system.supervisor("/").terminate_child("sup")

        assert sup.reason == "shutdown"


async def test_sup_start_error_return() -> None:
    """Children in another form than a list fail the start with the reason."""
    bad_children = lambda: "no list"  # noqa: E731 - the wrong type is the point
    with pytest.raises(StartFailed, match="children: must be a sequence of ChildSpec, not 'no list'"):
        async with open_system(SupervisorSpec(bad_children)):  # type: ignore[arg-type]
            pass


async def test_sup_start_fail() -> None:
    """A function of children that raises fails the start with its exception."""

    def children() -> list[ChildSpec]:
        raise LookupError("no children today")

    with pytest.raises(StartFailed, match="no children today") as caught:
        async with open_system(SupervisorSpec(children)):
            pass

    assert caught.value.reason.crash is not None
    assert caught.value.reason.crash.type == "LookupError"


async def test_sup_start_child_returns_error() -> None:
    """start_child of a child that fails, or returns something else than an actor, raises and does not keep the child."""
    async with open_sup() as sup:
        with pytest.raises(StartFailed, match="RuntimeError: start refused"):
            await sup.ref.start_child(Switch("fail").spec("a"))
        with pytest.raises(StartFailed, match="must return an Actor or IGNORE, not 17"):
            await sup.ref.start_child(ChildSpec("a", lambda _: 17))  # type: ignore[arg-type, return-value]

        assert await sup.counts() == [0, 0, 0, 0]


async def test_sup_start_restart_child_returns_error() -> None:
    """restart_child of a child that fails raises, keeps the spec and does not try again."""
    switch = Switch()
    async with open_sup([switch.spec("a")]) as sup:
        await sup.ref.terminate_child("a")
        switch.mode = "fail"
        with pytest.raises(StartFailed):
            await sup.ref.restart_child("a")

        assert await sup.states() == {"a": "stopped"}
        assert switch.attempts == 2


async def test_sup_start_child_returns_error_simple() -> None:
    """The same start_child failures under a dynamic supervisor."""
    async with open_simple() as sup:
        with pytest.raises(StartFailed, match="start refused"):
            await sup.ref.start_child(Switch("fail").spec("a"))
        with pytest.raises(StartFailed, match="must return an Actor"):
            await sup.ref.start_child(ChildSpec("a", lambda _: None))  # type: ignore[arg-type, return-value]

        assert await sup.counts() == [0, 0, 0, 0]
        assert await (await sup.ref.start_child(probe("a"))).ask(Ping()) == 1


async def test_sup_start_map() -> None:
    """Defaults of a spec: permanent, 5 s to stop for an actor, any time for a supervisor; get_childspec returns it all."""
    worker = probe("worker")
    async with open_sup([worker, ChildSpec("below", SupervisorSpec([]))]) as sup:
        assert sup.ref.get_childspec("worker") == worker
        assert worker.restart is Restart.PERMANENT
        assert worker.shutdown == 5.0
        assert sup.ref.get_childspec("below").shutdown == INFINITY
        with pytest.raises(NoSuchActor):
            sup.ref.get_childspec("nobody")


async def test_sup_start_map_simple() -> None:
    """get_childspec works for dynamic children, and shows that they are not significant."""
    async with open_simple() as sup:
        await sup.ref.start_child(probe("a", restart=Restart.TRANSIENT, shutdown=BRUTAL_KILL))

        spec = sup.ref.get_childspec("a")
        assert (spec.restart, spec.shutdown, spec.significant) == (Restart.TRANSIENT, BRUTAL_KILL, False)
        with pytest.raises(NoSuchActor):
            sup.ref.get_childspec("b")


def test_sup_start_map_faulty_specs() -> None:
    """A spec without id or start, or something that is none, is refused with a precise reason."""
    with pytest.raises(TypeError, match="start"):
        ChildSpec("a")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="id"):
        ChildSpec(start=lambda _: IGNORE)  # type: ignore[call-arg]
    with pytest.raises(SpecError, match="children: must be a sequence of ChildSpec, but holds 'hello'"):
        SupervisorSpec(["hello"])  # type: ignore[list-item]


async def test_the_root_may_be_dynamic() -> None:
    """`open_system` takes a dynamic supervisor as its root as well."""
    async with open_system(DynamicSupervisorSpec(), on_event=Journal().on_event) as system:
        ref = await system.supervisor("/").start_child(probe("a"))

        assert (ref.path, await ref.ask(Ping())) == ("/a", 1)
