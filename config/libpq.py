"""The connection parameters of libpq, and how wasup treats each: one table for the daemon and for PostgreSQL's own programs.

The names, variables and values are from chapter "Database Connection Control Functions" of PostgreSQL 18's
documentation. A parameter that the daemon's driver does not support is refused by name, unless its value asks for the
driver's normal behaviour.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType
from typing import Final, final


@final
@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a connection string."""

    variable: str | None = None
    """The environment variable from which PostgreSQL's programs and the daemon take the value when the URL has none."""
    values: tuple[str, ...] | None = None
    """The values that are supported; None: any."""
    pattern: str | None = None
    """The form of a value that is not one of a few words."""
    instead: str = "leave it out"
    """What would be right."""

    def objection(self, value: str) -> str | None:
        """Return what is wrong with a value, None when it is supported. Values are quoted only where they are known words."""
        if self.pattern is not None:
            return None if re.fullmatch(self.pattern, value) else "is no number that it can be"
        if self.values is None or value in self.values:
            return None
        if not self.values:
            return "is not supported"
        return f"can only be {' or '.join(self.values)} here"


_NUMBER: Final = "-?[0-9]{1,9}"
_TLS: Final = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
_GSSAPI: Final = "log in by password or by client certificate"

PARAMETERS: Final[Mapping[str, Parameter]] = MappingProxyType(
    {
        "host": Parameter("PGHOST"),
        "port": Parameter("PGPORT"),
        "user": Parameter("PGUSER"),
        "password": Parameter("PGPASSWORD"),
        "dbname": Parameter("PGDATABASE"),
        "passfile": Parameter("PGPASSFILE"),
        "sslmode": Parameter(
            "PGSSLMODE",
            ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
            instead="write for example sslmode=verify-full",
        ),
        "sslnegotiation": Parameter("PGSSLNEGOTIATION", ("postgres", "direct")),
        "sslrootcert": Parameter("PGSSLROOTCERT"),
        "sslcert": Parameter("PGSSLCERT"),
        "sslkey": Parameter("PGSSLKEY"),
        "sslpassword": Parameter(),
        "sslcrl": Parameter("PGSSLCRL"),
        "ssl_min_protocol_version": Parameter("PGSSLMINPROTOCOLVERSION", _TLS),
        "ssl_max_protocol_version": Parameter("PGSSLMAXPROTOCOLVERSION", _TLS),
        "connect_timeout": Parameter("PGCONNECT_TIMEOUT", pattern=_NUMBER, instead="write seconds"),
        "application_name": Parameter("PGAPPNAME"),
        "fallback_application_name": Parameter(),
        "options": Parameter("PGOPTIONS"),
        "target_session_attrs": Parameter(
            "PGTARGETSESSIONATTRS", ("any", "primary", "read-write"), instead="the daemon writes: name its primary"
        ),
        "keepalives": Parameter(None, ("0", "1")),
        "keepalives_idle": Parameter(pattern=_NUMBER, instead="write seconds"),
        "keepalives_interval": Parameter(pattern=_NUMBER, instead="write seconds"),
        "keepalives_count": Parameter(pattern=_NUMBER, instead="write how many"),
        "tcp_user_timeout": Parameter(pattern=_NUMBER, instead="write milliseconds"),
        # Values that ask for the driver's normal behaviour are accepted.
        "client_encoding": Parameter("PGCLIENTENCODING", ("utf8", "UTF8", "utf-8", "UTF-8", "auto")),
        "channel_binding": Parameter(
            "PGCHANNELBINDING",
            ("disable", "prefer"),
            instead="write channel_binding=prefer with sslmode=verify-full, and sslrootcert=system where the server's certificate "
            "is from a public authority: that proves the server as well",
        ),
        "gssencmode": Parameter("PGGSSENCMODE", ("disable", "prefer"), instead="use sslmode"),
        "gssdelegation": Parameter("PGGSSDELEGATION", ("0",), instead=_GSSAPI),
        "sslcompression": Parameter("PGSSLCOMPRESSION", ("0", "1")),
        "sslsni": Parameter("PGSSLSNI", ("1",)),
        "sslcertmode": Parameter("PGSSLCERTMODE", ("allow",)),
        "load_balance_hosts": Parameter("PGLOADBALANCEHOSTS", ("disable",)),
        "min_protocol_version": Parameter("PGMINPROTOCOLVERSION", ("3.0",)),
        "max_protocol_version": Parameter("PGMAXPROTOCOLVERSION", ("3.0", "3.2", "latest")),
        # Not supported by the driver.
        "hostaddr": Parameter("PGHOSTADDR", (), instead="write the address as the host"),
        "service": Parameter("PGSERVICE", (), instead="write the service's host, user and database into the URL"),
        "servicefile": Parameter(
            "PGSERVICEFILE", (), instead="write the service's host, user and database into the URL"
        ),
        "requiressl": Parameter("PGREQUIRESSL", (), instead="write sslmode=require"),
        "sslcrldir": Parameter("PGSSLCRLDIR", (), instead="write sslcrl with one file"),
        "sslkeylogfile": Parameter(None, ()),
        "require_auth": Parameter("PGREQUIREAUTH", (), instead="prove the server by sslmode=verify-full"),
        "requirepeer": Parameter("PGREQUIREPEER", (), instead="protect the socket's directory"),
        "krbsrvname": Parameter("PGKRBSRVNAME", (), instead=_GSSAPI),
        "gsslib": Parameter("PGGSSLIB", (), instead=_GSSAPI),
        "replication": Parameter(None, ()),
        "scram_client_key": Parameter(None, (), instead="write the password"),
        "scram_server_key": Parameter(None, (), instead="write the password"),
        "oauth_issuer": Parameter(None, (), instead=_GSSAPI),
        "oauth_client_id": Parameter(None, (), instead=_GSSAPI),
        "oauth_client_secret": Parameter(None, (), instead=_GSSAPI),
        "oauth_scope": Parameter(None, (), instead=_GSSAPI),
    }
)

ALIASES: Final[Mapping[str, str]] = MappingProxyType({"database": "dbname"})

_OF_OTHERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "connection_limit": "set storage.pool_connections",
        "pool_timeout": "set storage.acquire_timeout_s",
        "statement_timeout": "set storage.command_timeout_s",
        "socket_timeout": "set storage.command_timeout_s",
        "statement_cache_size": "write pgbouncer=true for a pooler in transaction mode",
        "prepared_statements": "write pgbouncer=true for a pooler in transaction mode",
        "ssl": "write sslmode=require or sslmode=verify-full",
        "sslaccept": "write sslmode=require or sslmode=verify-full",
        "search_path": "leave it out: the tables are in the schema public",
        "currentSchema": "leave it out: the tables are in the schema public",
    }
)
"""Parameters of other libraries that occur in URLs."""


def unknown(name: str) -> str:
    """Return why a parameter that libpq does not know is refused, and what would be right."""
    if re.fullmatch("[A-Za-z_]{1,40}", name) is None:  # perhaps a piece of a password
        return "the URL has a parameter that PostgreSQL does not know; write a ? or & of the password as %3F or %26"
    near = get_close_matches(name, PARAMETERS, n=1)
    right = _OF_OTHERS.get(name) or (f"did you mean {near[0]}?" if near else "leave it out")
    return f"PostgreSQL knows no parameter {name}; {right}"
