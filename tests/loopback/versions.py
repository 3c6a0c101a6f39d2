"""The version a client announces: which clients are refused for it, and the page that states the newest one.

WhatsApp refuses versions that are some weeks old, not all clients at once: a refusal may hold for a part of them, and from a
later time on. Clients that are connected stay so until they log in again.
"""

from __future__ import annotations

import hashlib
import zlib
from collections import deque
from dataclasses import dataclass
from typing import Final, final

import trio

from tests.loopback.protobuf import Fields

FIRST_REVISION: Final = 1_000_000_000
"""The page's revision until a test sets a newer one."""
MAX_ANNOUNCED: Final = 10_000
_USER_AGENT, _APP_VERSION = 5, 2
_PRIMARY, _SECONDARY, _TERTIARY = 1, 2, 3
_BUILD_HASH: Final = 7
_PARTS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Announced:
    """A version that a client announced."""

    phone: str
    """Of a log-in; empty at a registration."""
    version: str
    """As ``2.3000.1047769893``; ``0.0.0`` when it announced none."""
    refused: bool


@final
class Versions:
    """Which versions one loopback accepts, and which versions clients announced."""

    def __init__(self) -> None:
        self._below = 0
        self._fraction = 1.0
        self._from = 0.0
        self.revision = FIRST_REVISION
        """The revision of the page; 0: a page without one."""
        self.asked = 0
        """How often the page was fetched."""
        self.announced: deque[Announced] = deque(maxlen=MAX_ANNOUNCED)

    def refuse_below(self, revision: int, *, fraction: float = 1.0, after_s: float = 0.0) -> None:
        """Refuse versions below 2.3000.``revision`` for a part of the phone numbers (always the same ones), ``after_s`` from now.

        0 ends it. Registrations are refused when ``fraction`` is 1.
        """
        if revision < 0 or not 0 < fraction <= 1 or after_s < 0:
            raise ValueError(
                f"revision {revision}, fraction {fraction} and after_s {after_s} must be 0 or more, the fraction at most 1"
            )
        self._below, self._fraction, self._from = revision, fraction, trio.current_time() + after_s

    def publish(self, revision: int) -> None:
        """Have the page state this revision; 0: a page that states none."""
        self.revision = revision

    def refuses(self, phone: str, payload: Fields) -> bool:
        """Whether this client payload's version is refused; it is remembered in `announced`."""
        version = announced_version(payload)
        part = zlib.crc32(phone.encode()) % _PARTS < self._fraction * _PARTS if phone else self._fraction == 1
        old = version < (2, 3000, self._below)
        refused = bool(self._below) and part and old and trio.current_time() >= self._from
        self.announced.append(Announced(phone, ".".join(map(str, version)), refused))
        return refused

    def page(self) -> bytes:
        """The page of web.whatsapp.com, as far as clients read it: the revision stands in the JSON of a script."""
        self.asked += 1
        told = f'"client_revision":{self.revision},' if self.revision else ""
        script = f'{{"require":[["SiteData",[],{{"server_revision":1,{told}"push_phase":"C3"}},317]]}}'
        return f"<!DOCTYPE html><html><head><title>WhatsApp Web</title></head><body><script>{script}</script></body></html>".encode()


def require_matching_hash(payload: Fields, registration: Fields) -> None:
    """A registration repeats its version as an MD5: ValueError when it is another version's."""
    version = ".".join(map(str, announced_version(payload)))
    if (
        _BUILD_HASH in registration
        and registration.data(_BUILD_HASH) != hashlib.md5(version.encode(), usedforsecurity=False).digest()
    ):
        raise ValueError(f"the build hash is not that of {version}")


def announced_version(payload: Fields) -> tuple[int, int, int]:
    """The version in a client payload, zeros for what is missing."""
    if _USER_AGENT not in payload or _APP_VERSION not in payload.message(_USER_AGENT):
        return 0, 0, 0
    version = payload.message(_USER_AGENT).message(_APP_VERSION)
    return version.number(_PRIMARY), version.number(_SECONDARY), version.number(_TERTIARY)
