"""A database URL as environment variables for PostgreSQL's own programs. On a command line every user could read its password."""

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
"""These have no variable, and do not say which database is meant or who may read along."""


def variables(url: PostgresUrl) -> dict[str, str]:
    """Return the variables that name the same database to `psql` and others. `ValueError` for a parameter without a variable."""
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
    """Return the environment without the variables that name a database."""
    names = {parameter.variable for parameter in PARAMETERS.values()}
    return {name: value for name, value in environment.items() if name not in names}
