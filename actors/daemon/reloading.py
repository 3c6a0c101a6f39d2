"""SIGHUP: read the settings again, apply those that can change while the daemon runs, and name the others."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

import msgspec
import structlog
import trio

from actors import messages as m
from actors.daemon.live_settings import LiveSettings
from actors.daemon.notify import ServiceManager
from actors.daemon.signals import Signals
from actors.limiter import rates_of
from config.errors import SettingsError
from config.load import load
from config.sections import LogSettings
from config.settings import LogLevel, Settings
from supervisor import System
from supervisor.errors import SupervisorError

RELOADABLE: Final = frozenset(
    {
        "log_level",
        "rate_limit.max_requests",
        "rate_limit.window_ms",
        "rate_limit.max_lookups",
        "rate_limit.lookups_window_ms",
        "rate_limit.max_orders",
        "rate_limit.orders_window_ms",
        "start_concurrency",
        "proxy",
        "proxies",
    }
)
"""Settings that a reload applies. Proxies apply from a company's next connection on. Every reload also reads the key and certificate files
again."""


@final
@dataclass(frozen=True, slots=True)
class Difference:
    """The names of settings that differ, dotted as in docs/settings.md."""

    reloadable: tuple[str, ...]
    fixed: tuple[str, ...]
    """Only a restart of the daemon applies these."""


def difference(old: Settings, new: Settings) -> Difference:
    """Return what differs between two readings of the settings."""
    before, after = _flat(old), _flat(new)
    changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    return Difference(
        reloadable=tuple(name for name in changed if name in RELOADABLE),
        fixed=tuple(name for name in changed if name not in RELOADABLE),
    )


def with_reloadable(old: Settings, new: Settings) -> Settings:
    """Return ``old`` with the settings that a reload applies taken from ``new``."""
    return msgspec.structs.replace(
        old,
        log_level=new.log_level,
        rate_limit=msgspec.structs.replace(
            old.rate_limit,
            max_requests=new.rate_limit.max_requests,
            window_ms=new.rate_limit.window_ms,
            max_lookups=new.rate_limit.max_lookups,
            lookups_window_ms=new.rate_limit.lookups_window_ms,
            max_orders=new.rate_limit.max_orders,
            orders_window_ms=new.rate_limit.orders_window_ms,
        ),
        start_concurrency=new.start_concurrency,
        proxy=new.proxy,
        proxies=new.proxies,
    )


def _flat(settings: Settings) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in _fields(settings).items():
        if isinstance(value, msgspec.Struct):
            found |= {f"{name}.{inner}": each for inner, each in _fields(value).items()}
        else:
            found[name] = value
    return found


def _fields(struct: msgspec.Struct) -> Mapping[str, Any]:
    return {name: getattr(struct, name) for name in struct.__struct_fields__}


@final
class Reloader:
    """Reads the settings again at every SIGHUP. Settings with a mistake in them change nothing."""

    def __init__(
        self,
        system: System,
        live: LiveSettings,
        *,
        config_file: Path | None,
        connect_gate: trio.CapacityLimiter,
        manager: ServiceManager,
        configure_log: Callable[[LogLevel, LogSettings], object],
        signals: Signals,
        read: Callable[..., Settings] = load,
    ) -> None:
        self._system = system
        self._live = live
        self._config_file = config_file
        self._connect_gate = connect_gate
        self._manager = manager
        self._read = read
        self._configure_log = configure_log
        self._signals = signals
        self._log = structlog.get_logger("wasup.reload")

    async def run(self) -> None:
        """Reload at every SIGHUP, until cancelled."""
        with self._signals.receive(signal.SIGHUP) as signals:
            async for _ in signals:
                self._manager.reloading()
                self._manager.ready(self.reload())

    def reload(self) -> str:
        """Read and apply the settings; return one sentence about the result."""
        try:
            new = self._read(config_file=self._config_file)
        except SettingsError as error:
            for problem in error.problems:
                self._log.error("reload_refused", reason=str(problem))
            return f"reload refused, nothing was changed: {len(error.problems)} mistakes in the settings"
        changes = difference(self._live.now, new)
        for name in changes.fixed:
            self._log.warning("setting_needs_restart", key_name=name)
        self._live.now = with_reloadable(self._live.now, new)
        self._apply(self._live.now)
        for name in changes.reloadable:
            self._log.info("setting_reloaded", key_name=name)
        return f"reloaded, {len(changes.reloadable)} settings changed, {len(changes.fixed)} need a restart"

    def _apply(self, settings: Settings) -> None:
        self._configure_log(settings.log_level, settings.log)
        self._connect_gate.total_tokens = settings.start_concurrency
        self._tell("/limiter", m.SetRateLimit(rates_of(settings.rate_limit)))
        self._tell("/http", m.ReloadFiles())

    def _tell(self, path: str, message: object) -> None:
        try:
            self._system.ref(path).tell(message)
        except SupervisorError as error:
            # Its next incarnation reads the settings that are in force then.
            self._log.warning("reload_not_told", path=path, reason=str(error))
