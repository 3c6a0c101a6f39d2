"""URLs that others give the daemon to call: parsed strictly, and once, for the check and for the connection."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final, final

from actors.outbound.addresses import read_address
from actors.outbound.errors import OutboundRefused

MAX_URL: Final = 2048
_PORTS: Final = {"https": 443, "http": 80}
_MAX_PORT: Final = 65535

_URL: Final = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<path>/[^?#]*)?(?P<query>\?[^#]*)?(?P<fragment>#.*)?"
)
_VISIBLE: Final = re.compile(r"[!-~]+")
_UNSAFE: Final = re.compile(r"[\"<>\\^`{|}]")
_AUTHORITY: Final = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?")
_LABEL: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_NUMBER: Final = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")


@final
@dataclass(frozen=True, slots=True)
class Target:
    """A parsed URL. The connection's target and the request line are made from it alone."""

    scheme: str
    host: str
    """A name in lower case, or an address without brackets."""
    port: int
    path: str
    """Path and query as in the request line."""

    @property
    def host_header(self) -> str:
        """The value of the header Host: brackets around IPv6, and the port unless it is the scheme's."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


def read_url(url: str, *, allow_http: bool = False) -> Target:
    """Parse ``url``. Raises `OutboundRefused` (`invalid_url`), whose text says what is wrong and what would be right."""
    if not url or len(url) > MAX_URL:
        raise _wrong(f"a URL has 1 to {MAX_URL} characters")
    if _VISIBLE.fullmatch(url) is None or _UNSAFE.search(url) is not None:
        raise _wrong("it holds a character that does not belong in a URL: percent-encode it, write a host as punycode")
    found = _URL.fullmatch(url)
    if found is None:
        raise _wrong("write https://host/path")
    scheme = found["scheme"].lower()
    if scheme != "https" and not (scheme == "http" and allow_http):
        hint = (
            " or http://" if allow_http else "; the operator allows http with outbound.allow_http" * (scheme == "http")
        )
        raise _wrong(f"it must begin with https://{hint}")
    if found["fragment"] is not None:
        raise _wrong("a fragment (#…) is never sent: leave it out")
    host, port = _read_authority(found["authority"], _PORTS[scheme])
    return Target(scheme, host, port, (found["path"] or "/") + (found["query"] or ""))


def _read_authority(authority: str, default_port: int) -> tuple[str, int]:
    if "@" in authority:
        raise _wrong("it must not hold a user or password")
    found = _AUTHORITY.fullmatch(authority)
    if found is None:
        raise _wrong("it names no host that could be reached")
    port = default_port if found["port"] is None else int(found["port"])
    if not 1 <= port <= _MAX_PORT:
        raise _wrong(f"a port is a number from 1 to {_MAX_PORT}")
    return _read_host(found["host"]), port


def _read_host(host: str) -> str:
    if host.startswith("["):
        try:
            return str(ipaddress.IPv6Address(host[1:-1]))
        except ValueError:
            raise _wrong("the IPv6 address in brackets is none") from None
    labels = host.split(".")
    # Resolvers take 0x7f.1, 017700000001 and 2130706433 for addresses. Only the usual form is accepted.
    if _NUMBER.fullmatch(labels[-1]) is not None:
        if read_address(host) is None:
            raise _wrong("an IPv4 address is four decimal numbers from 0 to 255, without leading zeros")
        return host
    if len(host) > 253 or any(_LABEL.fullmatch(label) is None for label in labels):
        raise _wrong("it names no host that could be reached")
    return host.lower()


def _wrong(what: str) -> OutboundRefused:
    return OutboundRefused("invalid_url", f"the URL cannot be used: {what}")
