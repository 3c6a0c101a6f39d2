"""What the lines of whatsmeow's log say: the only module that knows their wording. Pure.

The library reports several things in its log alone, and logs each one on the thread that is about to act on it. The lines are whatsmeow's
of the version that constraints.txt pins; tests/engine/whatsmeow/ has examples of each, and the tests against the loopback WhatsApp show
that the library still writes them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from actors.engine.whatsmeow.disconnects import Closing, Hint

_MESSAGE: Final = re.compile(r'<message\s[^>]*?\bid="([^"]+)"')
_SENT: Final = re.compile(r"<message\s")
_RECEIPT: Final = re.compile(r'<receipt\s[^>]*?\bid="([^"]+)"')
_ACK: Final = re.compile(r'<ack\s(?=[^>]*\bclass="message")[^>]*?\bid="([^"]+)"')
_ANY_RECEIPT: Final = re.compile(r"<(?:receipt|ack)\s")
_IGNORED: Final = re.compile(
    r"Ignoring message (\S+) from (\S+?)(?: in (\S+?))?: .*received message with old counter"
    r"(?: \(index: (\d+), count: (\d+)\))?"
)
_FATAL: Final = re.compile(r"^Got (\d{3})/.* connect failure, refreshing CAT")
_LOGGED_OUT: Final = re.compile(r"^Got (\d{3})\b.*connect failure, sending LoggedOut")
_HINTS: Final = re.compile(r"^Got (\d{3})(?:/\S*)? (?:connect failure|stream error), assuming")
_ATTRIBUTE: Final = r'\b{}="?(\d+)'


@dataclass(frozen=True, slots=True)
class Passed:
    """A message whose key had been used already: it came before, or it was lost on the way to the event spool."""

    message_id: str
    sender: str
    chat: str
    index: int | None
    """The index of the sender's chain and the counter of the key that the message needs; None for messages of groups."""
    counter: int | None


def is_message_leaving(logger: str, text: str) -> bool:
    """Whether the line says that a message is about to be sent."""
    return logger.endswith("/Send") and _SENT.match(text) is not None


def passed_from_log(text: str) -> Passed | None:
    """Return the message that the library dropped because its key was used already; None for any other line."""
    found = _IGNORED.search(text)
    if found is None:
        return None
    message_id, sender, chat, index, counter = found.groups()
    numbers = (int(index), int(counter)) if index is not None and counter is not None else (None, None)
    return Passed(message_id, sender, chat or sender, *numbers)


def is_from_known_client(logger: str) -> bool:
    """Whether a line of this logger shows that the library has put its client into its maps: it makes the client's loggers just before,
    and the first line says that the client dials (tests/engine/whatsmeow/test_client_map_lock.py)."""
    return logger.startswith("Client")


def arriving_message(logger: str, text: str) -> str | None:
    """Return the id of the message that the library is about to read; None for any other line."""
    found = _MESSAGE.match(text) if logger.endswith("/Recv") else None
    return None if found is None else found.group(1)


def is_receipt_leaving(logger: str, text: str) -> bool:
    """Whether the line says that a receipt or an acknowledgement of any kind is about to be sent."""
    return logger.endswith("/Send") and _ANY_RECEIPT.match(text) is not None


def acknowledged_message(text: str) -> str | None:
    """Return the id of the message that a leaving receipt acknowledges; None when it acknowledges something else."""
    found = _RECEIPT.match(text) or _ACK.match(text)
    return None if found is None else found.group(1)


def is_socket_lost(logger: str, text: str) -> bool:
    """Whether the line says that nothing more will be read from a client's socket."""
    return logger.endswith("/Socket") and text.startswith("Frame websocket read pump exiting")


def is_restarting(text: str) -> bool:
    """Whether the library is about to close its socket and dial again on WhatsApp's request."""
    return text.startswith("Got 515 code")


def is_fatal(text: str) -> bool:
    """Whether whatsmeow is about to call a function that was never set (refused with 413 or 414), at which Go ends the process."""
    return _FATAL.match(text) is not None


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


def _attribute(text: str, name: str) -> int | None:
    match = re.search(_ATTRIBUTE.format(name), text)
    return int(match.group(1)) if match else None
