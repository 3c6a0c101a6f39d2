"""OTP's supervisor suite, the stand-alone API cases: each test bears the name of its case."""

from __future__ import annotations

from typing import Any

import pytest
from trio.testing import wait_all_tasks_blocked

from supervisor import (
    BRUTAL_KILL,
    INFINITY,
    AutoShutdown,
    Backoff,
    ChildSpec,
    DynamicSupervisorSpec,
    Intensity,
    MailboxSpec,
    Overflow,
    Restart,
    Strategy,
    SupervisorSpec,
)
from supervisor.errors import (
    ActorStopped,
    AlreadyPresent,
    AlreadyStarted,
    ChildRunning,
    NoSuchActor,
    SpecError,
    StartFailed,
)
from tests.supervisor.otp.kit import open_simple, open_sup
from tests.supervisor.probes import Journal, Ping, Probe, probe


async def test_child_adm() -> None:
    """start, terminate, restart, delete, which and count on one_for_one, with the error of each wrong state."""
    spec = probe("a")
    async with open_sup() as sup:
        ref = await sup.ref.start_child(spec)
        with pytest.raises(AlreadyStarted) as started:
            await sup.ref.start_child(spec)
        assert started.value.ref is ref
        with pytest.raises(ChildRunning):
            await sup.ref.restart_child("a")
        with pytest.raises(ChildRunning):
            await sup.ref.delete_child("a")

        await sup.ref.terminate_child("a")
        await sup.ref.terminate_child("a")
        assert (await sup.states(), await sup.counts()) == ({"a": "stopped"}, [1, 0, 0, 1])
        with pytest.raises(AlreadyPresent):
            await sup.ref.start_child(spec)
        assert await sup.ref.restart_child("a") is ref
        assert await ref.ask(Ping()) == 2

        await sup.ref.terminate_child("a")
        await sup.ref.delete_child("a")
        assert await sup.counts() == [0, 0, 0, 0]
        for request in (sup.ref.restart_child, sup.ref.delete_child, sup.ref.terminate_child):
            with pytest.raises(NoSuchActor, match="/sup/a"):
                await request("a")

    with pytest.raises(ActorStopped):
        await sup.ref.start_child(spec)


async def test_child_adm_simple() -> None:
    """A dynamic supervisor forgets what is terminated; restart_child and delete_child are refused for what runs."""
    async with open_simple() as sup:
        ref = await sup.ref.start_child(probe("a"))
        with pytest.raises(ChildRunning):
            await sup.ref.restart_child("a")
        with pytest.raises(ChildRunning):
            await sup.ref.delete_child("a")
        await sup.ref.terminate_child("a")

        assert await sup.counts() == [0, 0, 0, 0]
        with pytest.raises(NoSuchActor):
            await sup.ref.terminate_child("a")
        with pytest.raises(ActorStopped):
            ref.tell("hello")


async def test_extra_return() -> None:
    """A start function puts what it wants to hand on besides the actor where the caller finds it; restarts work as ever."""
    extras: list[str] = []

    def start(context: Any) -> Probe:
        extras.append(f"extra {context.incarnation}")
        return Probe(context)

    async with open_sup(intensity=Intensity(5, 5.0)) as sup:
        ref = await sup.ref.start_child(ChildSpec("a", start))
        assert extras == ["extra 1"]
        await sup.kill("a")
        assert await ref.ask(Ping()) == 2
        await sup.ref.terminate_child("a")
        await sup.ref.restart_child("a")

    assert extras == ["extra 1", "extra 2", "extra 3"]


BAD_SPECS: list[tuple[dict[str, Any], str]] = [
    ({"id": ""}, "id: must be 1 to 64 of A-Z a-z 0-9 _ . - (and neither '.' nor '..'), not ''"),
    ({"id": "a/b"}, "id: must be 1 to 64 of A-Z a-z 0-9 _ . - (and neither '.' nor '..'), not 'a/b'"),
    ({"id": ".."}, "id: must be 1 to 64 of A-Z a-z 0-9 _ . - (and neither '.' nor '..'), not '..'"),
    ({"id": 7}, "id: must be 1 to 64 of A-Z a-z 0-9 _ . - (and neither '.' nor '..'), not 7"),
    ({"start": 7}, "child 'a': start: must be a function of a Context or the spec of a supervisor, not 7"),
    (
        {"restart": "sometimes"},
        "child 'a': restart: must be one of Restart.PERMANENT, Restart.TRANSIENT, Restart.TEMPORARY, not 'sometimes'",
    ),
    (
        {"shutdown": -1.0},
        "child 'a': shutdown: must be a number of seconds of at least 0, INFINITY or BRUTAL_KILL, not -1.0",
    ),
    (
        {"shutdown": "soon"},
        "child 'a': shutdown: must be a number of seconds of at least 0, INFINITY or BRUTAL_KILL, not 'soon'",
    ),
    ({"significant": "yes"}, "child 'a': significant: must be True or False, not 'yes'"),
    ({"backoff": 5}, "child 'a': backoff: must be None or a Backoff, not 5"),
    ({"mailbox": 5}, "child 'a': mailbox: must be a MailboxSpec, not 5"),
    (
        {"start_timeout": 0},
        "child 'a': start_timeout: must be None or a finite number of seconds above 0, not 0",
    ),
    (
        {"handler_timeout": INFINITY},
        "child 'a': handler_timeout: must be None or a finite number of seconds above 0, not inf",
    ),
]


@pytest.mark.parametrize(("changed", "message"), BAD_SPECS, ids=[message[:40] for _, message in BAD_SPECS])
def test_child_specs(changed: dict[str, Any], message: str) -> None:
    """Each wrong field of a child's spec has its own error, which says what would be right."""
    fields: dict[str, Any] = {"id": "a", "start": lambda _: None, **changed}
    with pytest.raises(SpecError) as caught:
        ChildSpec(**fields)

    assert str(caught.value) == message


def test_child_specs_valid() -> None:
    """All combinations of restart and shutdown are accepted; ids that occur twice are not."""
    for restart in Restart:
        for shutdown in (0, 0.5, 1, INFINITY, BRUTAL_KILL):
            assert probe("a", restart=restart, shutdown=shutdown).shutdown == shutdown
    with pytest.raises(SpecError, match="children: two children have the id 'a'"):
        SupervisorSpec([probe("a"), probe("a")])


@pytest.mark.parametrize("auto_shutdown", list(AutoShutdown))
@pytest.mark.parametrize("restart", list(Restart))
def test_child_specs_map(auto_shutdown: AutoShutdown, restart: Restart) -> None:
    """A significant child must not be permanent and needs a supervisor that looks at significance."""
    journal = Journal()
    if restart is Restart.PERMANENT:
        with pytest.raises(SpecError, match="a permanent child cannot be significant"):
            probe("a", journal, restart=restart, significant=True)
    elif auto_shutdown is AutoShutdown.NEVER:
        with pytest.raises(SpecError, match="child 'a': significant: needs a supervisor whose auto_shutdown is not"):
            SupervisorSpec([probe("a", restart=restart, significant=True)], auto_shutdown=auto_shutdown)
    else:
        spec = SupervisorSpec([probe("a", restart=restart, significant=True)], auto_shutdown=auto_shutdown)
        assert isinstance(spec.children, list)


BAD_FLAGS: list[tuple[Any, dict[str, Any], str]] = [
    (SupervisorSpec, {"strategy": "one_for_none"}, "strategy: must be one of Strategy.ONE_FOR_ONE, "),
    (SupervisorSpec, {"intensity": 5}, "intensity: must be an Intensity, not 5"),
    (SupervisorSpec, {"auto_shutdown": True}, "auto_shutdown: must be one of AutoShutdown.NEVER, "),
    (SupervisorSpec, {"children": "abc"}, "children: must be a sequence of ChildSpec, not 'abc'"),
    (DynamicSupervisorSpec, {"intensity": None}, "intensity: must be an Intensity, not None"),
    (DynamicSupervisorSpec, {"max_children": 0}, "max_children: must be an integer from 1 to 1000000, not 0"),
    (DynamicSupervisorSpec, {"intensity_per_child": 1}, "intensity_per_child: must be True or False, not 1"),
    (Intensity, {"max_restarts": -1}, "intensity.max_restarts: must be an integer of at least 0, not -1"),
    (Intensity, {"max_restarts": True}, "intensity.max_restarts: must be an integer of at least 0, not True"),
    (Intensity, {"within": 0}, "intensity.within: must be a finite number of seconds above 0, not 0"),
    (Intensity, {"within": INFINITY}, "intensity.within: must be a finite number of seconds above 0, not inf"),
    (MailboxSpec, {"capacity": 0}, "mailbox.capacity: must be an integer from 1 to 1000000, not 0"),
    (MailboxSpec, {"overflow": "spill"}, "mailbox.overflow: must be one of Overflow.REJECT, "),
    (MailboxSpec, {"stash_capacity": -1}, "mailbox.stash_capacity: must be an integer from 0 to 1000000, not -1"),
    (Backoff, {"minimum": -1}, "backoff.minimum: must be a finite number of at least 0, not -1"),
    (Backoff, {"minimum": 5, "maximum": 1}, "backoff.maximum: must not be below minimum (5), but is 1"),
    (Backoff, {"factor": 0.5}, "backoff.factor: must be at least 1, not 0.5"),
    (Backoff, {"reset_after": "never"}, "backoff.reset_after: must be a finite number of at least 0, not 'never'"),
]


@pytest.mark.parametrize(("kind", "fields", "message"), BAD_FLAGS, ids=[message[:40] for _, _, message in BAD_FLAGS])
def test_sup_flags(kind: Any, fields: dict[str, Any], message: str) -> None:
    """Each wrong flag of a supervisor, an intensity, a mailbox or a back-off is refused by name."""
    if kind is SupervisorSpec:
        fields = {"children": (), **fields}
    with pytest.raises(SpecError) as caught:
        kind(**fields)

    assert str(caught.value).startswith(message)


def test_sup_flags_valid() -> None:
    """All strategies, overflow policies and a sub-second window are accepted."""
    for strategy in Strategy:
        assert SupervisorSpec((), strategy=strategy, intensity=Intensity(0, 0.25)).strategy is strategy
    for overflow in Overflow:
        assert MailboxSpec(1, overflow).overflow is overflow


async def test_start_child_needs_a_spec() -> None:
    """start_child of something else is refused by name, and changes nothing."""
    async with open_sup() as sup:
        with pytest.raises(SpecError, match="spec: must be a ChildSpec, not 'a'"):
            await sup.ref.start_child("a")  # type: ignore[arg-type]
        await wait_all_tasks_blocked()

        assert await sup.counts() == [0, 0, 0, 0]


async def test_a_failed_start_deep_down_is_named() -> None:
    """StartFailed of a subtree names the child that failed and carries its report."""

    def fail(_: Any) -> Any:
        raise OSError("no disk")

    tree = ChildSpec("tree", SupervisorSpec([probe("fine"), ChildSpec("bad", fail)]))
    async with open_sup() as sup:
        with pytest.raises(StartFailed) as caught:
            await sup.ref.start_child(tree)

        assert caught.value.path == "/sup/tree/bad"
        assert caught.value.reason.crash is not None
        assert caught.value.reason.crash.type == "OSError"
        assert await sup.counts() == [0, 0, 0, 0]
