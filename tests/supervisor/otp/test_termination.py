"""OTP's supervisor suite, groups normal_, shutdown_ and abnormal_termination: each test bears the name of its case."""

from __future__ import annotations

import logging

import pytest

from supervisor import NORMAL, SHUTDOWN, ChildSpec, ExitReason, Restart, SupervisorSpec, open_system
from supervisor.errors import StartFailed
from tests.supervisor.otp.kit import ABNORMAL, open_sup
from tests.supervisor.probes import Ping, probe

SHUTDOWNS = (SHUTDOWN, ExitReason("shutdown", "with a detail"))


async def test_external_start_no_progress_log(caplog: pytest.LogCaptureFixture) -> None:
    """Without a subscriber a start by start_child leaves no line in the log; a crash leaves one, with its traceback."""
    caplog.set_level(logging.DEBUG, logger="supervisor")
    async with open_system(SupervisorSpec([])) as system:
        ref = await system.supervisor("/").start_child(probe("a"))
        assert caplog.records == []
        system.kill("/a")
        assert await ref.ask(Ping()) == 2

    assert [record.getMessage() for record in caplog.records] == ["/a crashed: killed: killed"]


async def test_permanent_normal() -> None:
    """A permanent child that ends normally is restarted."""
    async with open_sup([probe("a", restart=Restart.PERMANENT)]) as sup:
        await sup.end("a", NORMAL)

        assert await sup.incarnations() == {"a": 2}


async def test_transient_normal() -> None:
    """A transient child that ends normally stays down, and its spec is kept."""
    async with open_sup([probe("a", restart=Restart.TRANSIENT)]) as sup:
        await sup.end("a", NORMAL)

        assert (await sup.states(), await sup.counts()) == ({"a": "stopped"}, [1, 0, 0, 1])


async def test_temporary_normal() -> None:
    """A temporary child that ends normally is forgotten."""
    async with open_sup([probe("a", restart=Restart.TEMPORARY)]) as sup:
        await sup.end("a", NORMAL)

        assert await sup.counts() == [0, 0, 0, 0]


@pytest.mark.parametrize("reason", SHUTDOWNS, ids=str)
async def test_permanent_shutdown(reason: ExitReason) -> None:
    """A permanent child that ends with shutdown is restarted."""
    async with open_sup([probe("a", restart=Restart.PERMANENT)]) as sup:
        await sup.end("a", reason)

        assert await sup.incarnations() == {"a": 2}


@pytest.mark.parametrize("reason", SHUTDOWNS, ids=str)
async def test_transient_shutdown(reason: ExitReason) -> None:
    """A transient child that ends with shutdown stays down, and can be restarted by request."""
    async with open_sup([probe("a", restart=Restart.TRANSIENT)]) as sup:
        await sup.end("a", reason)
        assert await sup.states() == {"a": "stopped"}
        await sup.ref.restart_child("a")

        assert await sup.incarnations() == {"a": 2}


@pytest.mark.parametrize("reason", SHUTDOWNS, ids=str)
async def test_temporary_shutdown(reason: ExitReason) -> None:
    """A temporary child that ends with shutdown is forgotten, and its id is free."""
    spec = probe("a", restart=Restart.TEMPORARY)
    async with open_sup([spec]) as sup:
        await sup.end("a", reason)
        assert await sup.counts() == [0, 0, 0, 0]
        await sup.ref.start_child(spec)

        assert await sup.incarnations() == {"a": 1}


async def test_faulty_application_shutdown() -> None:
    """A failure deep in a child's start surfaces at the top with its path, its type and its own traceback."""

    def broken_start(_: object) -> object:
        raise AttributeError("undefined function")

    deep = SupervisorSpec([ChildSpec("deep", broken_start)])  # type: ignore[arg-type]
    with pytest.raises(StartFailed) as caught:
        async with open_system(SupervisorSpec([ChildSpec("app", SupervisorSpec([ChildSpec("sup", deep)]))])):
            pass

    assert caught.value.path == "/app/sup/deep"
    assert caught.value.reason.crash is not None
    assert 'raise AttributeError("undefined function")' in caught.value.reason.crash.traceback


async def test_permanent_abnormal() -> None:
    """A permanent child that crashes is restarted."""
    async with open_sup([probe("a", restart=Restart.PERMANENT)]) as sup:
        await sup.end("a", ABNORMAL)

        assert await sup.incarnations() == {"a": 2}


async def test_transient_abnormal() -> None:
    """A transient child that crashes is restarted."""
    async with open_sup([probe("a", restart=Restart.TRANSIENT)]) as sup:
        await sup.end("a", ABNORMAL)

        assert await sup.incarnations() == {"a": 2}


async def test_temporary_abnormal() -> None:
    """A temporary child that crashes is forgotten."""
    async with open_sup([probe("a", restart=Restart.TEMPORARY)]) as sup:
        await sup.end("a", ABNORMAL)

        assert await sup.counts() == [0, 0, 0, 0]
