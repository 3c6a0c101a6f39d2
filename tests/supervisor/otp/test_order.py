"""OTP's supervisor suite, order, scale and reports: each test bears the name of its case."""

from __future__ import annotations

import msgspec
import pytest
from trio.testing import wait_all_tasks_blocked

from supervisor import Actor, ChildSpec, Context, CrashReport, Strategy, SupervisorSpec, open_system
from supervisor.errors import ActorCrashed, NameTaken, StartFailed
from supervisor.introspection.crash import MAX_TEXT, MAX_TRACEBACK
from tests.supervisor.otp.kit import open_sup
from tests.supervisor.probes import Crash, Journal, Ping, Run, probe
from tests.support.work import lines_run


async def test_order_of_children() -> None:
    """Children start in the order given, later siblings stop in reverse and start in order, all stop in reverse."""
    journal = Journal()
    ids = ["d", "b", "a", "c"]
    children = [probe(child_id, journal) for child_id in ids]
    async with open_sup(children, strategy=Strategy.REST_FOR_ONE) as sup:
        assert journal.take() == ["start d", "start b", "start a", "start c"]
        await sup.kill("b")
        assert journal.take() == ["stop c shutdown", "stop a shutdown", "start b", "start a", "start c"]

    assert journal.take() == ["stop c shutdown", "stop a shutdown", "stop b shutdown", "stop d shutdown"]


async def start_and_stop(count: int) -> int:
    """Lines that run to start and stop an ordered supervisor of ``count`` children."""
    children = [ChildSpec(f"c{number}", lambda _: Actor()) for number in range(count)]
    with lines_run() as lines:
        async with open_system(SupervisorSpec(children)):
            pass
    return lines.count


@pytest.mark.slow
async def test_scale_start_stop_many_children() -> None:
    """Ten times the children take about ten times the work to start and stop in order."""
    few, many = await start_and_stop(50), await start_and_stop(500)

    assert 9 < many / few < 12


async def test_format_log_1() -> None:
    """A report's text and traceback are cut to a length, however long the exception's are."""

    def dig(depth: int) -> None:
        if depth == 0:
            raise ValueError("x" * 50_000)
        dig(depth - 1)

    async with open_sup([probe("a")]) as sup:
        with pytest.raises(ActorCrashed) as caught:
            await sup.child("a").ask(Run(lambda _: dig(200)))

    report = caught.value.report
    assert len(report.text) == MAX_TEXT
    assert len(report.traceback) <= MAX_TRACEBACK
    assert "frames left out" in report.traceback


async def test_format_log_2() -> None:
    """A report names offender, type, message and caller, and goes through JSON and back."""
    async with open_sup([probe("a")]) as sup:
        with pytest.raises(ActorCrashed) as caught:
            await sup.child("a").ask(Crash("line one\nline two"))
        report = caught.value.report

        assert caught.value.path == "/sup/a"
        assert (report.type, report.text, report.message_type) == ("Boom", "line one\nline two", "Crash")
        assert msgspec.json.decode(msgspec.json.encode(report), type=CrashReport) == report
        assert sup.system.snapshot("/sup/a").last_crash == report


async def test_already_started_outside_supervisor() -> None:
    """A child that cannot start because another actor holds its name: a plain error, nothing is kept, no other actor is affected."""

    class Named(Actor):
        def __init__(self, context: Context) -> None:
            context.system.register("the one", context.ref)

    async with open_sup([probe("other")]) as sup:
        sup.system.register("the one", sup.child("other"))
        with pytest.raises(StartFailed) as caught:
            await sup.ref.start_child(ChildSpec("named", Named))
        await wait_all_tasks_blocked()

        assert caught.value.reason.crash is not None
        assert caught.value.reason.crash.type == NameTaken.__name__
        assert await sup.states() == {"other": "running"}
        assert await sup.child("other").ask(Ping()) == 1
