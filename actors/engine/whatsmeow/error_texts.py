"""What the error texts of whatsmeow mean: the only module that knows their wording. Pure.

The library's bridge hands errors over as their text. The texts are those of the version that constraints.txt pins;
tests/engine/whatsmeow/test_error_texts.py has examples of each.
"""

from __future__ import annotations

import re
from typing import Final

from actors.engine.whatsmeow.disconnects import Closing

# The system's own error may follow. Matched only at the end of the text: its middle may contain text that a peer chose.
_SAID: Final = re.compile(
    r"(?:database or disk is full|disk I/O error|unable to open database file|attempt to write a readonly database)"
    r"(?:: [a-z/ -]+)?$"
)
_GONE_STATUSES: Final = ("403", "404", "410")
"""WhatsApp's media servers say one of these for a file that they no longer hand out."""


def code_of(text: str) -> str:
    """Return `protocol.Failed`'s code for the library's error text."""
    lowered = text.lower()
    if failed_write(text) is not None:
        return "storage_full"
    if "not connected" in lowered:
        return "not_connected"
    if "websocket disconnected" in lowered:
        return "timeout"  # it waited for an answer: the request may have been carried out
    if "doesn't contain a device" in lowered or "not logged in" in lowered:
        return "not_linked"
    if "not participating in that group" in lowered:
        return "not_in_group"
    if "that group does not exist" in lowered:
        return "no_such_group"
    if "no lid found" in lowered:
        return "no_such_recipient"
    if "timed out" in lowered or "deadline" in lowered:
        return "timeout"
    if "server returned error" in lowered or "unknown server" in lowered or "status 4" in lowered:
        return "rejected"
    return "engine_error"


def group_code_of(text: str) -> str | None:
    """Return the code for a send that WhatsApp refused to a group, whose text ends with the status; None for another status.

    The library may not know yet that this account was removed from the group, or that the group is gone.
    """
    return {"403": "not_in_group", "404": "no_such_group"}.get(text.rpartition(" ")[2])


def is_media_gone(text: str) -> bool:
    """Whether a download failed because WhatsApp no longer has the file."""
    return any(f"status code {status}" in text for status in _GONE_STATUSES)


def is_database_error(text: str) -> bool:
    """Whether the list of devices, which is a text too, is an error instead."""
    return text.startswith("error:")


def failed_write(text: str) -> str | None:
    """Return SQLite's report of a failed write at the end of a line or an error of the library; None when there is none."""
    found = _SAID.search(text)
    return None if found is None else found.group()


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
