"""Reads a database URL once, for the daemon's driver and for PostgreSQL's own programs, so that both reach the same database.

libpq's rules apply (PostgreSQL's documentation, "Connection URIs"). A URL that the driver, libpq or a quick reader
could understand differently is refused: a part that is given twice with different values, a reserved character that is
not percent-encoded. Errors never repeat a value.
"""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, final
from urllib.parse import quote, unquote

from config.libpq import ALIASES, PARAMETERS, unknown

_RIGHT: Final = "write postgresql://user:password@host:5432/database"
_DEFAULT_PORT: Final = 5432
_SOCKET_DIRECTORIES: Final = ("/run/postgresql", "/var/run/postgresql", "/tmp")  # noqa: S108  # where servers put their sockets
_URL: Final = re.compile(r"(?P<scheme>[a-z]+)://(?P<authority>[^/?]*)(?:/(?P<path>[^?]*))?(?:\?(?P<query>.*))?")
_IS_POOLED: Final = {"true": True, "1": True, "false": False, "0": False}
_FILES: Final = ("sslrootcert", "sslcert", "sslkey", "sslcrl", "passfile")
SYSTEM: Final = "system"
"""As ``sslrootcert``: the operating system's trusted authorities."""


@final
@dataclass(frozen=True, slots=True)
class PostgresUrl:
    """A database and how to reach it. Made by `read`."""

    hosts: tuple[tuple[str, int], ...]
    """Names, addresses or directories of sockets, tried in this order, with their ports."""
    user: str
    database: str
    password: str | None = field(default=None, repr=False)
    parameters: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    """The other libpq parameters, by their names; checked against `config.libpq.PARAMETERS`."""
    is_pooled: bool | None = None
    """Whether the URL names a pooler in transaction mode (``pgbouncer=true``, as other libraries write it); None: it does not say."""

    @property
    def has_only_sockets(self) -> bool:
        """Whether no host is reached over a network, so that TLS is not used."""
        return all(host.startswith("/") for host, _ in self.hosts)

    def on(self, database: str) -> PostgresUrl:
        """Return the URL of another database of the same server."""
        return replace(self, database=database)

    def reveal(self) -> str:
        """Return the complete URL, password included. Never log or print the result."""
        secret = "" if self.password is None else f":{quote(self.password, safe='')}"
        hosts = ",".join(f"{_bracketed(host)}:{port}" for host, port in self.hosts)
        asked = dict(self.parameters)
        if self.is_pooled is not None:
            asked["pgbouncer"] = str(self.is_pooled).lower()
        query = "&".join(f"{name}={quote(value, safe='')}" for name, value in asked.items())
        path = quote(self.database, safe="")
        return f"postgresql://{quote(self.user, safe='')}{secret}@{hosts}/{path}{'?' if query else ''}{query}"

    def unreadable_files(self) -> Iterator[tuple[str, str]]:
        """Yield each parameter that names an unreadable file, with that file."""
        for name in _FILES:
            value = self.parameters.get(name)
            if value is not None and (name, value) != ("sslrootcert", SYSTEM) and not os.access(value, os.R_OK):
                yield name, value


def read(text: str, environment: Mapping[str, str] | None = None) -> PostgresUrl:
    """Read a URL. Missing parts are taken from libpq's variables in ``environment``, otherwise from libpq's defaults.

    Raises ValueError with "what is wrong; what would be right".
    """
    given = dict(_given(text))
    is_pooled = _pooled(given.pop("pgbouncer", None))
    _check_schema(given.pop("schema", None))
    for name, value in given.items():
        _check(name, value, name)
    found = {**_of_environment(environment or {}, given), **given}
    user = found.pop("user", None) or _own_name()
    database = found.pop("dbname", None) or user
    password = found.pop("password", None)
    hosts = _hosts(found.pop("host", None), found.pop("port", None))
    return PostgresUrl(hosts, user, database, password, _with_system_authorities(found), is_pooled)


def _given(text: str) -> Iterator[tuple[str, str]]:
    """Yield what the URL itself says, decoded, each name once; hosts and ports as comma-separated lists, as in libpq."""
    parts = _URL.fullmatch(text)
    if parts is None or parts["scheme"] not in {"postgres", "postgresql"}:
        raise ValueError(f"the URL does not start with postgres:// or postgresql://; {_RIGHT}")
    if "#" in text:
        raise ValueError("the URL holds a #, which some take for its end; write it as %23")
    named = {name: value for name, value in (*_of_authority(parts["authority"]), ("dbname", parts["path"])) if value}
    seen = {name: value if name in {"host", "port"} else _decoded(value) for name, value in named.items()}
    yield from seen.items()
    for name, value in _of_query(parts["query"] or ""):
        if seen.setdefault(name, value) != value:
            raise ValueError(f"the URL gives {name} twice, with different values; keep one")
        yield name, value


def _of_authority(authority: str) -> Iterator[tuple[str, str]]:
    credentials, at, places = authority.rpartition("@")
    if "@" in credentials:
        raise ValueError("the URL holds more than one @ before its path; write those of the user or password as %40")
    if at:
        user, _, password = credentials.partition(":")
        yield from (("user", user), ("password", password))
    if places:
        hosts, ports = zip(*(_place(place) for place in places.split(",")), strict=True)
        yield from (("host", ",".join(hosts)), ("port", ",".join(ports) if any(ports) else ""))


def _place(place: str) -> tuple[str, str]:
    """Return host and port of ``host``, ``host:port`` or ``[address]:port``."""
    found = re.fullmatch(r"(?:\[(?P<address>[0-9A-Fa-f:.%]+)\]|(?P<host>[^:\[\]]*))(?::(?P<port>[0-9]*))?", place)
    if found is None:
        raise ValueError(
            "a host of the URL cannot be read; write host, host:port or [IPv6 address]:port, and / ? : of a password as %2F %3F %3A"
        )
    return _decoded(found["address"] or found["host"]), found["port"] or ""


def _of_query(query: str) -> Iterator[tuple[str, str]]:
    for part in query.split("&") if query else ():
        name, equals, value = part.partition("=")
        if not equals:
            raise ValueError("a parameter of the URL has no =; write ?name=value&name=value")
        name = ALIASES.get(_decoded(name), _decoded(name))
        if name not in PARAMETERS and name not in {"pgbouncer", "schema"}:
            raise ValueError(unknown(name))
        if value:  # an empty value counts as absent, as for libpq
            yield name, _decoded(value)


def _decoded(text: str) -> str:
    """Decode percent-encoding as libpq does: a plus sign stays a plus sign."""
    if re.search(r"%(?![0-9A-Fa-f]{2})|%00", text):
        raise ValueError("the URL holds a % that begins no percent-encoding; write it as %25")
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise ValueError("the URL holds percent-encoded bytes that are no UTF-8; encode them as UTF-8") from None


def _pooled(value: str | None) -> bool | None:
    if value is not None and value not in _IS_POOLED:
        raise ValueError("pgbouncer can only be true or false; write pgbouncer=true for a pooler in transaction mode")
    return None if value is None else _IS_POOLED[value]


def _check_schema(value: str | None) -> None:
    if value not in {None, "public"}:
        raise ValueError("schema can only be public, where the tables are; leave it out")


def _check(name: str, value: str, called: str) -> None:
    objection = PARAMETERS[name].objection(value)
    if objection is not None:
        raise ValueError(f"{called} {objection}; {PARAMETERS[name].instead}")


def _of_environment(environment: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    found = {name: environment.get(parameter.variable or "", "") for name, parameter in PARAMETERS.items()}
    asked = {name: value for name, value in found.items() if value and name not in given}
    for name, value in asked.items():
        _check(name, value, f"the environment variable {PARAMETERS[name].variable}")
    return asked


def _hosts(hosts: str | None, ports: str | None) -> tuple[tuple[str, int], ...]:
    numbers = [_port(port) for port in ports.split(",")] if ports else [_DEFAULT_PORT]
    names = hosts.split(",") if hosts else [_local(numbers[0])]
    if not all(re.fullmatch(r"/.*|[^/:@\s]+|[0-9A-Fa-f:.]+(?:%.+)?", name) for name in names):
        raise ValueError(
            "a host is empty or no name, address or absolute path; write a port as port, or behind the host before the path"
        )
    if len(numbers) not in {1, len(names)}:
        raise ValueError(f"there are {len(names)} hosts and {len(numbers)} ports; write one port, or one for each host")
    return tuple(zip(names, numbers if len(numbers) > 1 else numbers * len(names), strict=True))


def _port(text: str) -> int:
    if not text:
        return _DEFAULT_PORT
    if not re.fullmatch("[0-9]{1,5}", text) or not 0 < int(text) < 2**16:
        raise ValueError("a port is no number from 1 to 65535; write for example 5432, and a : of a password as %3A")
    return int(text)


def _local(port: int) -> str:
    """Return where a local server listens: its socket's directory, which differs between packages, or localhost."""
    directories = (one for one in _SOCKET_DIRECTORIES if (Path(one) / f".s.PGSQL.{port}").exists())
    return next(directories, "localhost")


def _own_name() -> str:
    """Return the name of the effective user, as libpq does; not of the user who logged in."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        raise ValueError(f"the URL names no user, and who runs this has no name; {_RIGHT}") from None


def _with_system_authorities(found: dict[str, str]) -> dict[str, str]:
    if found.get("sslrootcert") != SYSTEM:
        return found
    if found.setdefault("sslmode", "verify-full") != "verify-full":
        raise ValueError("sslrootcert=system trusts every public authority; write sslmode=verify-full with it")
    return found


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else quote(host, safe="")
