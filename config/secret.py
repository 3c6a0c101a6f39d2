"""Secret values: they have no readable form until `reveal` is called."""

from __future__ import annotations

import hmac
import re
from typing import NoReturn, final
from urllib.parse import urlsplit, urlunsplit

MASK = "********"

_SAFE_PARTS = re.compile(r"[A-Za-z0-9._:\[\]-]*")


@final
class Secret:
    """A secret text: shown only as a mask, never pickled or copied, compared in constant time."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text itself. Never log or print the result."""
        return self._text

    def __repr__(self) -> str:
        return f"Secret('{MASK}')"

    def __str__(self) -> str:
        return MASK

    def __format__(self, format_spec: str) -> str:
        return format(MASK, format_spec)

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._text.encode(), other._text.encode())

    __hash__ = None  # type: ignore[assignment]  # a dict lookup by secret is not constant-time  # pyright: ignore[reportAssignmentType, reportUnannotatedClassAttribute]

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret cannot be pickled or copied")


def describe_url(secret: Secret) -> str:
    """Return the parts of a URL that may be shown: scheme, host, port and path, never user information or query."""
    try:
        parts = urlsplit(secret.reveal())
    except ValueError:
        return MASK
    host = parts.netloc.rpartition("@")[2]
    if not parts.scheme or _SAFE_PARTS.fullmatch(host) is None:
        return MASK
    netloc = f"{MASK}@{host}" if "@" in parts.netloc else host
    return urlunsplit((parts.scheme, netloc, parts.path, "…" if parts.query else "", ""))
