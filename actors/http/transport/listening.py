"""The listening socket, and TLS on it."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from typing import Final

import trio

_TCP_OPTIONS: Final = (
    (socket.SOL_SOCKET, "SO_REUSEADDR", 1),
    (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
    (socket.IPPROTO_TCP, "TCP_NODELAY", 1),
    (socket.IPPROTO_TCP, "TCP_KEEPIDLE", 2),
    (socket.IPPROTO_TCP, "TCP_KEEPINTVL", 1),
    (socket.IPPROTO_TCP, "TCP_KEEPCNT", 3),
)
"""Inherited by accepted sockets: an idle peer that is gone is given up after about 5 s; while sending, after ``tcp_user_timeout_s``."""

_BACKLOG: Final = 512


class BindError(Exception):
    """The address cannot be listened on; the text says which address, why, and what to do."""

    def __init__(self, host: str, port: int, why: OSError) -> None:
        super().__init__(
            f"cannot listen on {host}:{port}: {why.strerror or why}; "
            "stop what uses this address or choose another with WASUP_BIND"
        )
        self.host = host
        self.port = port


class LocalSocketError(Exception):
    """The command line's socket cannot be created; the text says which and why."""

    def __init__(self, path: Path, why: OSError) -> None:
        super().__init__(f"cannot listen on {path}: {why.strerror or why}; the command line reaches the daemon there")
        self.path = path


class TlsError(Exception):
    """The certificate or its key cannot be used; the text says which file and why."""

    def __init__(self, certificate: Path, key: Path, why: Exception) -> None:
        super().__init__(
            f"cannot use http.tls_certificate_file {certificate} with http.tls_key_file {key}: {why}; "
            "both must be PEM files that the daemon may read, and belong together"
        )
        self.certificate = certificate
        self.key = key


async def listen(host: str, port: int, *, user_timeout_s: float) -> trio.SocketListener:
    """Listen on the first address of ``host``; port 0 takes any free port. Raises `BindError`."""
    try:
        found = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        listening = trio.socket.socket(family, kind, protocol)
    except OSError as error:
        raise BindError(host, port, error) from error
    try:
        user_timeout = (socket.IPPROTO_TCP, "TCP_USER_TIMEOUT", round(user_timeout_s * 1000))
        for level, option, value in (*_TCP_OPTIONS, user_timeout):
            # Some of these exist on Linux only.
            if hasattr(socket, option):
                listening.setsockopt(level, getattr(socket, option), value)
        await listening.bind(address)
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise BindError(host, port, error) from error
    return trio.SocketListener(listening)


async def listen_local(path: Path) -> trio.SocketListener:
    """Listen on a Unix socket of mode 0600 at ``path``; one that an earlier incarnation left is replaced. Raises `LocalSocketError`."""
    listening = trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    place = trio.Path(path)
    try:
        await place.unlink(missing_ok=True)
        await listening.bind(str(path))
        await place.chmod(0o600)
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise LocalSocketError(path, error) from error
    return trio.SocketListener(listening)


def tls_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Return a context for TLS 1.2 or later with this certificate. Raises `TlsError`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise TlsError(certificate, key, error) from error
    return context
