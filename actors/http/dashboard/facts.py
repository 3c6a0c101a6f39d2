"""The dashboard's facts about the daemon as a whole."""

from __future__ import annotations

import platform
from typing import Literal, Protocol

from actors.daemon.metrics import VERSION, EngineFigures, Metrics, Totals
from actors.messages import Answer
from config.settings import Settings


class ServerStore(Protocol):
    """Asks the database server."""

    async def version(self) -> str:
        """Return Postgres' version, like `18.1`. Raises StorageUnavailable."""
        ...


class PostgresFacts(Answer, frozen=True, kw_only=True):
    """The database."""

    kind: Literal["embedded", "external"]
    version: str | None
    """None until the server has replied for the first time."""
    available: bool | None
    """Whether it takes writes; None: not known yet."""


class RateLimitFacts(Answer, frozen=True, kw_only=True):
    """How sends are limited."""

    backend: str
    messages: int
    window_s: float


class DaemonFacts(Answer, frozen=True, kw_only=True):
    """The daemon, for a key of scope admin."""

    version: str
    python: str
    started_at: float
    """Unix seconds."""
    postgres: PostgresFacts
    rate_limit: RateLimitFacts
    engines: tuple[EngineFigures, ...]
    totals: Totals
    sessions: int
    """Number of companies; more than are sent when the page's limit is reached."""
    actors: int


def daemon_facts(
    settings: Settings, metrics: Metrics, *, version: str | None, available: bool | None, sessions: int, actors: int
) -> DaemonFacts:
    """Return the facts as of now."""
    messages, window_s = metrics.rate_limit
    return DaemonFacts(
        version=VERSION,
        python=platform.python_version(),
        started_at=round(metrics.started_at, 1),
        postgres=PostgresFacts(
            kind="embedded" if settings.database_url is None else "external", version=version, available=available
        ),
        rate_limit=RateLimitFacts(backend=metrics.rate_limit_backend, messages=messages, window_s=window_s),
        engines=metrics.engines,
        totals=metrics.totals(),
        sessions=sessions,
        actors=actors,
    )
