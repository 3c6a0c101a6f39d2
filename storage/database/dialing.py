"""From a database URL to an asyncpg connection. Every argument is given, so asyncpg reads and guesses nothing."""

from __future__ import annotations

import socket
import ssl
from asyncio import Transport
from typing import Any, Final
from urllib.parse import quote

from config.postgres_url import SYSTEM, PostgresUrl

APPLICATION_NAME: Final = "wasup"
_TLS: Final = ("sslcert", "sslkey", "sslpassword", "sslcrl", "ssl_min_protocol_version", "ssl_max_protocol_version")
_KEEPALIVE: Final = {
    "keepalives_idle": socket.TCP_KEEPIDLE,
    "keepalives_interval": socket.TCP_KEEPINTVL,
    "keepalives_count": socket.TCP_KEEPCNT,
    "tcp_user_timeout": socket.TCP_USER_TIMEOUT,
}


def arguments(url: PostgresUrl) -> dict[str, Any]:
    """Return the arguments of `asyncpg.connect` for this URL. Raises OSError when a file of its TLS settings cannot be used.

    All arguments are given, since asyncpg would take a missing one from the environment.
    """
    asked = url.parameters
    return {
        "dsn": _tls_dsn(url),
        "host": [host for host, _ in url.hosts],
        "port": [port for _, port in url.hosts],
        "user": url.user,
        "database": url.database,
        "password": url.password,
        "passfile": asked.get("passfile"),
        "ssl": _tls(url),
        "target_session_attrs": asked.get("target_session_attrs", "any"),
        "gsslib": "gssapi",
        "timeout": connect_timeout(url),
    }


def startup_settings(url: PostgresUrl) -> dict[str, str]:
    """Return the server settings that the URL asks for."""
    asked = url.parameters
    name = asked.get("application_name") or asked.get("fallback_application_name") or APPLICATION_NAME
    return {"application_name": name, **({"options": asked["options"]} if "options" in asked else {})}


def connect_timeout(url: PostgresUrl) -> float | None:
    """Return ``connect_timeout`` in seconds; None where there is none. As in libpq, 0 or less means none."""
    seconds = int(url.parameters.get("connect_timeout", "0"))
    return float(seconds) if seconds > 0 else None


def keep_alive(url: PostgresUrl, transport: Transport) -> None:
    """Have the kernel detect that the server's machine is gone, as libpq does. Where the URL has no times, the system's apply."""
    connected = transport.get_extra_info("socket")
    if connected is None or connected.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    if url.parameters.get("keepalives", "1") != "0":
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, option in _KEEPALIVE.items():
        if (value := int(url.parameters.get(name, "0"))) > 0:
            connected.setsockopt(socket.IPPROTO_TCP, option, value)


def _tls(url: PostgresUrl) -> str | ssl.SSLContext:
    if url.has_only_sockets:
        return "disable"
    if url.parameters.get("sslrootcert") == SYSTEM:
        return _verifying(url)
    return url.parameters.get("sslmode", "prefer")


def _verifying(url: PostgresUrl) -> ssl.SSLContext:
    asked = url.parameters
    context = ssl.create_default_context()
    context.set_alpn_protocols(["postgresql"])
    if "sslcert" in asked:
        context.load_cert_chain(asked["sslcert"], asked.get("sslkey"), lambda: asked.get("sslpassword", ""))
    if "sslcrl" in asked:
        context.load_verify_locations(asked["sslcrl"])
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN
    for edge, name in (
        ("minimum_version", "ssl_min_protocol_version"),
        ("maximum_version", "ssl_max_protocol_version"),
    ):
        if name in asked:
            setattr(context, edge, ssl.TLSVersion[asked[name].replace(".", "_")])
    return context


def _tls_dsn(url: PostgresUrl) -> str:
    """Return a URL with the TLS settings, which asyncpg takes only this way. `_tls` handles a root certificate of ``system``."""
    asked = {"sslnegotiation": "postgres"} if url.has_only_sockets else {"sslnegotiation": "postgres", **url.parameters}
    names = ["sslnegotiation", *_TLS]
    if asked.get("sslrootcert") != SYSTEM:
        names.append("sslrootcert")
    query = "&".join(f"{name}={quote(asked[name], safe='')}" for name in names if name in asked)
    return f"postgresql://?{query}"
