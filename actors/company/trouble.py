"""Error texts of the library and the network, explained: what is wrong and what to check, with the original text in brackets."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_MOST_RAW: Final = 300


@dataclass(frozen=True, slots=True)
class _Trouble:
    signs: re.Pattern[str]
    words: str


def _trouble(signs: str, words: str) -> _Trouble:
    return _Trouble(re.compile(signs, re.IGNORECASE), words)


# The first match counts. The text of a look-up that failed without a network names both: the network is the cause.
_TROUBLES: Final = (
    _trouble(
        r"socks|proxyconnect|proxy",
        "the proxy on the way to WhatsApp does not work: check WASUP_PROXY (or the company's proxy) and that the proxy runs",
    ),
    _trouble(
        r"network is unreachable|no route to host|network is down",
        "this machine has no way to the internet: check its network connection, routes and firewall",
    ),
    _trouble(
        r"no such host|server misbehaving|name resolution|\blookup\b",
        "the name of WhatsApp's servers is not found: check this machine's DNS and its internet connection",
    ),
    _trouble(
        r"x509|certificate|tls:|remote error",
        "the connection to WhatsApp is intercepted or the clock is wrong: check for a proxy that opens TLS"
        " (its certificate must be in SSL_CERT_FILE) and this machine's date",
    ),
    _trouble(
        r"connection refused|connection reset|broken pipe|\beof\b",
        "the connection to WhatsApp is refused or cut: check that the firewall lets this machine reach web.whatsapp.com, port 443",
    ),
    _trouble(
        r"i/o timeout|deadline exceeded|timed? ?out|timeout",
        "WhatsApp's servers do not answer: check that the firewall lets this machine reach web.whatsapp.com, port 443",
    ),
    _trouble(
        r"dial|websocket",
        "WhatsApp's servers cannot be reached: check this machine's internet connection and firewall",
    ),
)


def in_words(raw: str) -> str:
    """Return ``what: what to check [raw]`` for a network error, any other text unchanged."""
    for trouble in _TROUBLES:
        if trouble.signs.search(raw):
            return f"{trouble.words} [{raw[:_MOST_RAW]}]"
    return raw
