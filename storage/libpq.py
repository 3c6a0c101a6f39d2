"""A database URL as the environment variables of PostgreSQL's own programs: on their command line everybody could see its password."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import Final
from urllib.parse import parse_qsl, unquote

_PARAMETERS: Final = MappingProxyType(
    {
        "host": "PGHOST",
        "port": "PGPORT",
        "user": "PGUSER",
        "password": "PGPASSWORD",
        "dbname": "PGDATABASE",
        "database": "PGDATABASE",
        "passfile": "PGPASSFILE",
        "sslmode": "PGSSLMODE",
        "sslrootcert": "PGSSLROOTCERT",
        "sslcert": "PGSSLCERT",
        "sslkey": "PGSSLKEY",
        "sslcrl": "PGSSLCRL",
        "application_name": "PGAPPNAME",
        "connect_timeout": "PGCONNECT_TIMEOUT",
        "options": "PGOPTIONS",
        "target_session_attrs": "PGTARGETSESSIONATTRS",
    }
)


_PARTS: Final = re.compile(r"(?:[^:/?#]*://)?(?P<places>[^/?#]*)(?P<path>[^?#]*)(?:\?(?P<query>[^#]*))?")
"""By hand: `urlsplit` refuses an IPv6 address that is not the only host, in some versions of Python."""


def variables(dsn: str) -> dict[str, str]:
    """What names the same database to `psql` and the others. `ValueError` for a parameter that has no variable of theirs."""
    parts = _PARTS.match(dsn)
    assert parts is not None  # every part may be empty
    credentials, _, places = parts["places"].rpartition("@")
    user, _, password = credentials.partition(":")
    hosts, ports = zip(*(_place(place) for place in places.split(",")), strict=True)
    named = {
        "user": unquote(user),
        "password": unquote(password),
        "host": unquote(",".join(hosts)),
        "port": ",".join(ports),
        "dbname": unquote(parts["path"].removeprefix("/")),
    }
    asked = dict(parse_qsl(parts["query"] or ""))
    if unknown := sorted(asked.keys() - _PARAMETERS):
        raise ValueError(f"PostgreSQL's programs have no environment variable for {', '.join(unknown)}")
    return {_PARAMETERS[name]: value for name, value in {**named, **asked}.items() if value.strip(",")}


def _place(place: str) -> tuple[str, str]:
    """Host and port of ``host``, ``host:port`` or ``[address]:port``."""
    if place.startswith("["):
        address, _, rest = place[1:].partition("]")
        return address, rest.removeprefix(":")
    host, _, port = place.partition(":")
    return host, port
