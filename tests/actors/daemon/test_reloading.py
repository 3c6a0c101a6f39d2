"""Settings read again while the daemon runs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
import trio

from actors import messages as m
from actors.daemon.live_settings import LiveSettings
from actors.daemon.notify import ServiceManager
from actors.daemon.reloading import RELOADABLE, Reloader, difference, with_reloadable
from actors.daemon.signals import Signals
from config.errors import Problem, SettingsError
from config.secret import Secret
from config.settings import Settings
from supervisor import ChildSpec, SupervisorSpec, open_system
from tests.actors.fakes import RecordingActor

OLD = Settings(state_dir=Path("/state"))
NEW = msgspec.structs.replace(
    OLD,
    start_concurrency=3,
    proxy=Secret("http://127.0.0.1:1"),
    rate_limit=msgspec.structs.replace(OLD.rate_limit, max_requests=7),
    sessions_per_engine=9,
)


def no_log(*_: object) -> None:
    """The test's own logging stays."""


@asynccontextmanager
async def reloader(read: Callable[..., Settings], told: list[object]) -> AsyncIterator[tuple[Reloader, LiveSettings]]:
    live = LiveSettings(OLD)
    children = [ChildSpec(name, lambda _: RecordingActor(told)) for name in ("limiter", "http")]
    gate = trio.CapacityLimiter(OLD.start_concurrency)
    async with open_system(SupervisorSpec(children)) as system:
        yield (
            Reloader(
                system,
                live,
                config_file=None,
                connect_gate=gate,
                manager=ServiceManager(),
                read=read,
                configure_log=no_log,
                signals=Signals(),
            ),
            live,
        )
        assert gate.total_tokens == live.now.start_concurrency
        await trio.testing.wait_all_tasks_blocked()


def test_the_difference_is_named_by_what_can_be_reloaded() -> None:
    """Dotted names, as in docs/settings.md."""
    found = difference(OLD, NEW)

    assert found.reloadable == ("proxy", "rate_limit.max_requests", "start_concurrency")
    assert found.fixed == ("sessions_per_engine",)


def test_only_what_is_reloadable_is_taken() -> None:
    """After a reload only what needs a restart differs from the file."""
    merged = with_reloadable(OLD, NEW)

    assert difference(merged, NEW).reloadable == ()
    assert difference(OLD, merged).fixed == ()
    assert merged.sessions_per_engine == OLD.sessions_per_engine


def test_every_reloadable_setting_exists() -> None:
    """A setting whose name was changed elsewhere would never be reloaded."""
    known = set(OLD.__struct_fields__)
    known |= {f"rate_limit.{name}" for name in OLD.rate_limit.__struct_fields__}

    assert known >= RELOADABLE


async def test_a_reload_reaches_everyone() -> None:
    """The limiter gets the limit, HTTP reads its files again, later connections use the proxy."""
    told: list[object] = []
    async with reloader(lambda **_: NEW, told) as (reloading, live):
        said = reloading.reload()

    assert said == "reloaded, 3 settings changed, 1 need a restart"
    assert len(told) == 2
    orders = m.Rate(20, 60.0)
    rates: dict[m.Counted, m.Rate] = {
        "messages": m.Rate(7, 60.0),
        "lookups": m.Rate(30, 60.0),
        "orders": orders,
        "admin_orders": orders,
    }
    assert m.SetRateLimit(rates) in told
    assert m.ReloadFiles() in told
    assert live.proxy_for("962302") == "http://127.0.0.1:1"


async def test_a_mistake_in_the_settings_changes_nothing() -> None:
    """Not even the valid ones."""

    def read(**_: object) -> Settings:
        raise SettingsError([Problem("wasup.toml:3", "bind", "no address", "host:port")])

    told: list[object] = []
    async with reloader(read, told) as (reloading, live):
        said = reloading.reload()

    assert said == "reload refused, nothing was changed: 1 mistakes in the settings"
    assert (told, live.now) == ([], OLD)


@pytest.mark.parametrize("up", ["limiter", "http"])
async def test_an_actor_that_is_down_does_not_stop_a_reload(up: str) -> None:
    """Its next incarnation takes the settings that are in force then."""
    told: list[object] = []
    live = LiveSettings(OLD)
    async with open_system(SupervisorSpec([ChildSpec(up, lambda _: RecordingActor(told))])) as system:
        gate = trio.CapacityLimiter(1)
        Reloader(
            system,
            live,
            config_file=None,
            connect_gate=gate,
            manager=ServiceManager(),
            read=lambda **_: NEW,
            configure_log=no_log,
            signals=Signals(),
        ).reload()
        await trio.testing.wait_all_tasks_blocked()

    assert len(told) == 1
    assert live.now.start_concurrency == 3
