"""Why a WhatsApp connection ended, from the library's events and from its log. Pure.

Not every ending comes as an event. The library's bridge ends its event loop on a reason or ban code it has no name for (411,
415 and others), has no event for some (500, 503), and delivers none before a first device is linked. whatsmeow logs each ending, so the
log is read as well, and the more specific of the two reports is used.
"""

from __future__ import annotations

import re
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


def is_fatal(text: str) -> bool:
    """Whether whatsmeow is about to call a function that was never set (refused with 413 or 414), at which Go ends the process."""
    return _FATAL.match(text) is not None


_FATAL: Final = re.compile(r"^Got (\d{3})/.* connect failure, refreshing CAT")
_LOGGED_OUT: Final = re.compile(r"^Got (\d{3})\b.*connect failure, sending LoggedOut")
_HINTS: Final = re.compile(r"^Got (\d{3})(?:/\S*)? (?:connect failure|stream error), assuming")
_ATTRIBUTE: Final = r'\b{}="?(\d+)'


def closing_from_log(text: str) -> Closing | Hint | None:
    """Return what a line of whatsmeow's log says about the connection's end; None for all other lines."""
    if text.startswith("Got replaced stream error"):
        return Closing("replaced", text="another client took over this session")
    if text.startswith("Client outdated"):
        return Closing("outdated", 405, "this WhatsApp client version is too old")
    if text.startswith("Got device removed stream error"):
        return Closing("logged_out", 401, "the device was removed")
    if (match := _LOGGED_OUT.match(text)) is not None:
        return Closing("logged_out", int(match.group(1)), "WhatsApp logged this device out")
    if text.startswith("Temporary ban connect failure"):
        return Closing(
            "temporary_ban",
            402,
            f"temporarily banned (reason {_attribute(text, 'code') or 0})",
            _attribute(text, "expire"),
        )
    if text.startswith("Unknown connect failure"):
        return Closing("connect_failure", _attribute(text, "reason") or 0, "WhatsApp refused the connection")
    if text.startswith("Unknown stream error"):
        return Closing("stream_error", _attribute(text, "code") or 0, "WhatsApp ended the stream")
    if text.startswith("Failed to reconnect after 515"):
        return Closing("stream_error", 515, "not connected again after linking")
    if (match := _FATAL.match(text)) is not None:
        return Closing("connect_failure", int(match.group(1)), "WhatsApp refused the connection")
    if (match := _HINTS.match(text)) is not None:
        return Hint(int(match.group(1)), "WhatsApp is not available")
    return None


def closing_from_login_status(status: str, *, used_up: bool) -> Closing | None:
    """Return how offering QR codes ended; None when it ended well.

    The library says `timeout` both when all codes were used up and when the socket was lost; ``used_up`` tells them apart.
    """
    if status == "success":
        return None
    if status == "err-client-outdated":
        return Closing("outdated", 405, "this WhatsApp client version is too old")
    if status == "timeout":
        why = "no phone scanned a code in time" if used_up else "the connection was lost while a code was on offer"
        return Closing("pairing_failed", text=why)
    if status == "err-scanned-without-multidevice":
        return None
    return Closing("pairing_failed", text=f"pairing ended: {status}")


def _attribute(text: str, name: str) -> int | None:
    match = re.search(_ATTRIBUTE.format(name), text)
    return int(match.group(1)) if match else None
