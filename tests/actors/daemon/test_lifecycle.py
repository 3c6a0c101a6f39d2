"""How restarts are reported."""

from __future__ import annotations

from typing import Any

import msgspec
from prometheus_client import CollectorRegistry
from trio.testing import MockClock, wait_all_tasks_blocked

from actors.daemon.lifecycle import LifecycleObserver
from actors.daemon.metrics import Metrics
from actors.messages import Announce, CompanyState, StatusChanged
from supervisor import (
    Actor,
    Backoff,
    ChildSpec,
    DynamicSupervisorSpec,
    Intensity,
    SupervisorSpec,
    System,
    open_system,
)
from tests.actors.fakes import RecordingActor

SOON = Backoff(minimum=0.01, maximum=0.01)
LATE = Backoff(initial=1000.0, maximum=1000.0, jitter=False)


def tree(seen: list[Any]) -> SupervisorSpec:
    per_child = DynamicSupervisorSpec(intensity=Intensity(max_restarts=1, within=60.0), intensity_per_child=True)
    return SupervisorSpec(
        [
            ChildSpec(id="watcher", start=lambda _: RecordingActor(seen)),
            ChildSpec(id="companies", start=per_child),
        ]
    )


async def start_company(system: System, metrics: Metrics | None = None, *, backoff: Backoff = SOON) -> None:
    watcher = system.ref("/watcher")
    system.subscribe(
        LifecycleObserver(events=watcher, directory=watcher, metrics=metrics or Metrics(CollectorRegistry()))
    )
    await system.supervisor("/companies").start_child(ChildSpec(id="962302", start=lambda _: Actor(), backoff=backoff))


async def test_a_companys_restart_is_an_event_that_says_why(autojump_clock: MockClock) -> None:
    """Reason and count, for the application that follows the company."""
    seen: list[Any] = []
    async with open_system(tree(seen)) as system:
        await start_company(system)
        system.kill("/companies/962302", "for the test")
        await wait_all_tasks_blocked(0.1)

    (announced,) = [message for message in seen if isinstance(message, Announce)]
    (event,) = announced.events
    payload = msgspec.json.decode(event.payload)
    assert (event.type, event.company_id, payload["restarts"]) == ("restarted", "962302", 1)
    assert "for the test" in payload["reason"]


async def test_a_company_that_crashed_is_not_connected(autojump_clock: MockClock) -> None:
    """The directory does not go on listing its actor's last state."""
    seen: list[Any] = []
    async with open_system(tree(seen)) as system:
        await start_company(system)
        system.kill("/companies/962302", "for the test")
        await wait_all_tasks_blocked(0.1)

    assert StatusChanged("962302", CompanyState.STOPPED, connected=False) in seen


async def test_a_company_that_is_given_up_is_failed(autojump_clock: MockClock) -> None:
    """Its restarts are used up: a status event, and the directory knows."""
    seen: list[Any] = []
    async with open_system(tree(seen)) as system:
        await start_company(system)
        for _ in range(2):
            system.kill("/companies/962302", "again")
            await wait_all_tasks_blocked(0.1)

        assert system.snapshot("/companies/962302").state == "failed"
    assert StatusChanged("962302", CompanyState.FAILED, connected=False) in seen


async def test_a_restart_that_came_to_nothing_does_not_explain_the_next(autojump_clock: MockClock) -> None:
    """Ended while it waited for its restart, then made anew and restarted by hand: the old crash is not the reason."""
    seen: list[Any] = []
    async with open_system(tree(seen)) as system:
        await start_company(system, backoff=LATE)
        system.kill("/companies/962302", "for the test")
        await wait_all_tasks_blocked()
        assert system.snapshot("/companies/962302").state == "restarting"
        companies = system.supervisor("/companies")
        await companies.terminate_child("962302")
        await companies.start_child(ChildSpec(id="962302", start=lambda _: Actor()))
        await system.restart("/companies/962302")

    reasons = [msgspec.json.decode(m.events[0].payload)["reason"] for m in seen if isinstance(m, Announce)]
    assert reasons == ["restarted by an operator"]


async def test_a_company_that_is_given_up_counts_as_failed(autojump_clock: MockClock) -> None:
    """It cannot count itself any more, and the alert rests on this count."""
    metrics = Metrics(CollectorRegistry())
    async with open_system(tree([])) as system:
        await start_company(system, metrics)
        for _ in range(2):
            system.kill("/companies/962302", "again")
            await wait_all_tasks_blocked(0.1)

    assert b'wasup_sessions{status="failed"} 1.0' in metrics.exposition()
