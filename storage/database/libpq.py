"""A database URL as the environment variables of PostgreSQL's own programs: on their command line everybody could see its password."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from config.libpq import PARAMETERS
from config.postgres_url import PostgresUrl

_ONLY_OURS: Final = frozenset(
    {
        "keepalives",
        "keepalives_idle",
        "keepalives_interval",
        "keepalives_count",
        "tcp_user_timeout",
        "fallback_application_name",
    }
)
"""These have no variable, and say nothing of which database it is or who may read along."""


def variables(url: PostgresUrl) -> dict[str, str]:
    """What names the same database to `psql` and the others. `ValueError` for a parameter that has no variable of theirs."""
    named = {
        "host": ",".join(host for host, _ in url.hosts),
        "port": ",".join(str(port) for _, port in url.hosts),
        "user": url.user,
        "dbname": url.database,
        **({} if url.password is None else {"password": url.password}),
        **{name: value for name, value in url.parameters.items() if name not in _ONLY_OURS},
    }
    if missing := sorted(name for name in named if PARAMETERS[name].variable is None):
        raise ValueError(f"PostgreSQL's programs have no environment variable for {', '.join(missing)}")
    return {str(PARAMETERS[name].variable): value for name, value in named.items()}


def without_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment that names no database."""
    names = {parameter.variable for parameter in PARAMETERS.values()}
    return {name: value for name, value in environment.items() if name not in names}
