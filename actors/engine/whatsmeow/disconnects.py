"""Why a WhatsApp connection ended, from the library's events and from its log. Pure.

Not every ending comes as an event. The library's bridge ends its event loop on a reason or ban code it has no name for (411,
415 and others), has no event for some (500, 503), and delivers none before a first device is linked. whatsmeow logs each ending, so the
log is read as well (actors/engine/whatsmeow/log_lines.py), and the more specific of the two reports is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal[
    "disconnected",
    "stream_error",
    "connect_failure",
    "logged_out",
    "replaced",
    "temporary_ban",
    "outdated",
    "pairing_failed",
    "storage_full",
]

_WEIGHT: Final[dict[Kind, int]] = {
    "disconnected": 0, "stream_error": 1, "connect_failure": 2, "pairing_failed": 3, "outdated": 4, "replaced": 5, "temporary_ban": 6,
    "storage_full": 7, "logged_out": 8,
}  # fmt: skip

REASON_CODES: Final = {1: 400, 2: 401, 3: 402, 4: 403, 5: 406, 6: 405, 7: 409, 8: 500, 9: 501, 10: 503}
"""The bridge's numbering of whatsmeow's connect failure reasons."""


@dataclass(frozen=True, slots=True)
class Closing:
    """One ending, with the fields of `protocol.Closed`."""

    kind: Kind
    code: int = 0
    text: str = ""
    expires_in_s: float | None = None

    def or_better(self, other: Closing) -> Closing:
        """Return the more specific of two reports about one ending."""
        if (_WEIGHT[other.kind], other.code != 0, other.expires_in_s is not None) > (
            _WEIGHT[self.kind], self.code != 0, self.expires_in_s is not None,
        ):  # fmt: skip
            return other
        return self


@dataclass(frozen=True, slots=True)
class Hint:
    """The code of an ending that whatsmeow logs before the socket closes."""

    code: int
    text: str
