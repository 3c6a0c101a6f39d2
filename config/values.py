"""The value types of settings, and how each is read from text.

Every ``parse_…`` function takes a raw value of the settings file or the environment and raises ValueError with a
message of the form "what is wrong; what would be right". No message repeats a secret.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import final
from urllib.parse import SplitResult, parse_qsl, urlsplit

from config import postgres_url
from config.company_id import is_company_id
from config.secret import Secret

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_WHATSAPP_VERSION = re.compile(r"2\.3000\.[0-9]{9,10}")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_MAX_PORT = 65535
_REDIS_PARAMETERS = frozenset(
    {"db", "ssl_keyfile", "ssl_certfile", "ssl_check_hostname", "ssl_ca_certs", "ssl_cert_reqs"}
)


@final
class Bind:
    """A listening address. ``port`` 0 lets the system choose."""

    __slots__ = ("host", "port")

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it. A host name other than localhost counts as reachable by others."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __repr__(self) -> str:
        return f"Bind({self.host!r}, {self.port})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Bind) and (self.host, self.port) == (other.host, other.port)

    def __hash__(self) -> int:
        return hash((self.host, self.port))


def parse_bind(raw: object) -> Bind:
    """Read ``host:port``; an IPv6 host is in brackets."""
    right = "write host:port, for example 127.0.0.1:3003 or [::1]:3003"
    text = _text(raw, right)
    host, colon, port_text = text.rpartition(":")
    if not colon or not port_text.isascii() or not port_text.isdigit() or int(port_text) > _MAX_PORT:
        raise ValueError(f"{text!r} has no port from 0 to {_MAX_PORT}; {right}")
    return Bind(_host(host, text, right), int(port_text))


def _host(host: str, text: str, right: str) -> str:
    if host.startswith("[") and host.endswith("]"):
        try:
            return str(ipaddress.IPv6Address(host[1:-1]))
        except ValueError:
            raise ValueError(f"{text!r} has no valid IPv6 address in its brackets; {right}") from None
    if ":" in host:
        raise ValueError(f"{text!r} holds an IPv6 address without brackets; {right}")
    if _HOST.fullmatch(host) is None:
        raise ValueError(f"{text!r} has no host name or address; {right}")
    return host


def parse_path(raw: object) -> Path:
    """Read a path; ``~`` is expanded. The loader, which knows where a relative path was written, makes it absolute."""
    right = "write a path, for example /var/lib/wasup"
    text = _text(raw, right)
    if "\0" in text:
        raise ValueError(f"a path cannot hold a NUL character; {right}")
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ValueError(
            "`~` cannot be expanded because the user has no home directory; write an absolute path"
        ) from None


def parse_postgres_url(raw: object) -> Secret:
    """Read a libpq URL (config.postgres_url). Secret, because it usually has a password."""
    right = "write postgresql://user:password@host:5432/database"
    text = _text(raw, right)
    _refuse_spaces(text, right)
    postgres_url.read(text)
    return Secret(text)


def parse_redis_url(raw: object) -> Secret:
    """Read a Redis URL. Secret, because it may have a password, whose reserved characters are percent-encoded."""
    right = "write redis://:password@host:6379/0, / : @ ? # of the password as %2F %3A %40 %3F %23"
    secret = _parse_url(raw, {"redis", "rediss", "unix"}, right, needs_host=False)
    parts = urlsplit(secret.reveal())
    if parts.fragment or re.search("%(?![0-9A-Fa-f]{2})", secret.reveal()):
        raise ValueError(f"the URL holds a # or % that is not percent-encoded; {right}")
    if parts.scheme == "unix" and not parts.path.startswith("/"):
        raise ValueError("the URL names no socket; write unix:///run/redis/redis.sock")
    if parts.scheme != "unix" and not re.fullmatch("/?[0-9]*", parts.path):
        raise ValueError(f"the database of the URL is no number; {right}")
    if unknown := {name for name, _ in parse_qsl(parts.query, keep_blank_values=True)} - _REDIS_PARAMETERS:
        names = ", ".join(sorted(name if name.isidentifier() else "…" for name in unknown))
        raise ValueError(
            f"the URL has parameters that are not known ({names}); only {', '.join(sorted(_REDIS_PARAMETERS))} are"
        )
    return secret


def parse_proxy(raw: object) -> Secret:
    """Read the URL of a proxy for WhatsApp traffic. Secret, because it may have a password."""
    right = "write http://host:port or socks5://host:port"
    secret = _parse_url(raw, {"http", "https", "socks5"}, right, needs_host=True)
    if urlsplit(secret.reveal()).port is None:
        raise ValueError(f"the proxy URL has no port; {right}")
    return secret


def parse_proxies(raw: object) -> Mapping[str, Secret]:
    """Read proxies by company: a table in the file, ``company=url,company=url`` in the environment."""
    right = "write companyId = url pairs, for example 962302=http://127.0.0.1:3128"
    pairs = _pairs(raw, right)
    parsed: dict[str, Secret] = {}
    for company_id, url in pairs:
        if not is_company_id(company_id):
            raise ValueError(f"{company_id!r} is not a company id; use 1 to 64 of A-Z a-z 0-9 _ -")
        if company_id in parsed:
            raise ValueError(f"company {company_id} has two proxies; keep one")
        try:
            parsed[company_id] = parse_proxy(url)
        except ValueError as error:
            raise ValueError(f"company {company_id}: {error}") from None
    return parsed


def _pairs(raw: object, right: str) -> list[tuple[str, object]]:
    if isinstance(raw, str):
        entries = [entry.strip().partition("=") for entry in raw.split(",") if entry.strip()]
        return [(company_id.strip(), url.strip()) for company_id, _, url in entries]
    if isinstance(raw, dict):
        return [(str(key), value) for key, value in raw.items()]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]  # TOML
    raise ValueError(f"this is neither a table nor text; {right}")


def parse_networks(raw: object) -> tuple[Network, ...]:
    """Read addresses or CIDR networks: a list in the file, separated by commas in the environment."""
    right = "write addresses or networks, for example 10.0.0.5 or 10.0.0.0/24"
    entries: list[object]
    if isinstance(raw, str):
        entries = [entry.strip() for entry in raw.split(",") if entry.strip()]
    elif isinstance(raw, list):
        entries = list(raw)  # pyright: ignore[reportUnknownArgumentType]  # TOML
    else:
        raise ValueError(f"this is neither a list nor text; {right}")  # noqa: TRY004  # all parsers raise this one
    return tuple(_network(entry, right) for entry in entries)


def _network(entry: object, right: str) -> Network:
    try:
        return ipaddress.ip_network(_text(entry, right))
    except ValueError as error:
        raise ValueError(f"{entry!r} is not an address or network ({error}); {right}") from None


def parse_region(raw: object) -> str:
    """Read a country's two letters; the phone number library must know the country."""
    right = "write an ISO 3166 country code, for example RU"
    text = _text(raw, right)
    # Imported here: nothing else in this package needs the 30 ms it takes.
    from phonenumbers import SUPPORTED_REGIONS

    if text not in SUPPORTED_REGIONS:
        raise ValueError(f"{text!r} is not a country that phone numbers are known for; {right}")
    return text


def _parse_url(raw: object, schemes: set[str], right: str, *, needs_host: bool) -> Secret:
    text = _text(raw, right)
    parts = _split(text, right)
    if parts.scheme not in schemes:
        raise ValueError(
            f"the URL does not start with {' or '.join(f'{scheme}://' for scheme in sorted(schemes))}; {right}"
        )
    if needs_host and not parts.hostname:
        raise ValueError(f"the URL names no host; {right}")
    return Secret(text)


def _split(text: str, right: str) -> SplitResult:
    _refuse_spaces(text, right)
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        # Do not repeat the library's text: it may quote the URL, password included.
        raise ValueError(f"the URL cannot be read; {right}") from None
    return parts


def _refuse_spaces(text: str, right: str) -> None:
    if any(character.isspace() or not character.isprintable() for character in text):
        raise ValueError(f"the URL holds a space or a control character; {right}")


def _text(raw: object, right: str) -> str:
    if not isinstance(raw, str):
        raise ValueError(f"this is not text but {_kind(raw)}; {right}")  # noqa: TRY004  # all parsers raise this one
    if not raw.strip():
        raise ValueError(f"it is empty; {right}")
    return raw.strip()


def _kind(raw: object) -> str:
    names: dict[type, str] = {bool: "a boolean", int: "a number", float: "a number", list: "a list", dict: "a table"}
    return names.get(type(raw), f"a {type(raw).__name__}")


Parse = Callable[[object], object]
"""The shape of every ``parse_…`` function here."""


def parse_whatsapp_version(value: object) -> str:
    """Read `auto`, `library`, or a version of WhatsApp Web."""
    if isinstance(value, str) and (value in ("auto", "library") or _WHATSAPP_VERSION.fullmatch(value)):
        return value
    raise ValueError(f"{value!r} is no version of WhatsApp Web; use auto, library, or a version like 2.3000.1047769893")


def revision_of(version: str) -> int:
    """Return the N of a version ``2.3000.N``."""
    return int(version.rpartition(".")[2])
