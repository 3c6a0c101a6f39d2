"""Keeps WhatsApp from hearing that a message has arrived before it lies in the event spool.

The library decrypts a message, tells WhatsApp that it has it, and hands it over later, through a queue of a hundred. A process that is
killed in between has lost it: WhatsApp will not send it again. The library says at its DEBUG level what it is about to read and to send,
on the very thread that does it, and that thread waits for our callback: so receipts can be withheld here until the message is kept, and
the next ones be read only when few are under way. What was not acknowledged, WhatsApp delivers again after the next log-in. Once the
library could not store something (actors/engine/whatsmeow/write_faults.py) nothing at all is acknowledged: it takes that for a message
that it cannot decrypt, and would have WhatsApp forget it.
docs/adr/0011-what-the-library-would-lose.md has the measurements.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from typing import Final, final

HOLD_S: Final = 10.0
"""The longest that a thread of the library's is held: some messages are nobody's business, and are never handed over."""

AHEAD: Final = 4
"""Messages between WhatsApp and the event spool; each holds a thread."""

_MESSAGE: Final = re.compile(r'<message\s[^>]*?\bid="([^"]+)"')
_SENT: Final = re.compile(r"<message\s")
_RECEIPT: Final = re.compile(r'<receipt\s[^>]*?\bid="([^"]+)"')
_ACK: Final = re.compile(r'<ack\s(?=[^>]*\bclass="message")[^>]*?\bid="([^"]+)"')
_ANY_RECEIPT: Final = re.compile(r"<(?:receipt|ack)\s")
_IGNORED: Final = re.compile(
    r"Ignoring message (\S+) from (\S+?)(?: in (\S+?))?: .*received message with old counter"
    r"(?: \(index: (\d+), count: (\d+)\))?"
)


@dataclass(frozen=True, slots=True)
class Passed:
    """A message that came when its key had been used already: either it came before, or it was lost on the way to the event spool."""

    message_id: str
    sender: str
    chat: str
    index: int | None
    """Where the sender's chain was, and which key of it the message needs; None for messages of groups."""
    counter: int | None


def is_message_leaving(logger: str, text: str) -> bool:
    """Whether the line says that a message is about to be sent."""
    return logger.endswith("/Send") and _SENT.match(text) is not None


def passed_from_log(text: str) -> Passed | None:
    """What the library says when it drops a message whose key was used already."""
    found = _IGNORED.search(text)
    if found is None:
        return None
    message_id, sender, chat, index, counter = found.groups()
    numbers = (int(index), int(counter)) if index is not None and counter is not None else (None, None)
    return Passed(message_id, sender, chat or sender, *numbers)


@final
class Receipts:
    """For one client; every method is called on the library's threads, except `let_go` and `close`."""

    def __init__(self, *, hold_s: float = HOLD_S, ahead: int = AHEAD) -> None:
        self._hold_s = hold_s
        self._ahead = ahead
        self._changed = threading.Condition()
        self._underway: set[str] = set()
        self._refused: set[str] = set()
        self._reading_freely = False
        self._holds_all = False
        self._closed = False

    def note(self, logger: str, text: str) -> None:
        """One line of the library's, before it does what the line says. Returns when it may be done."""
        if logger.endswith("/Recv"):
            if (found := _MESSAGE.match(text)) is not None:
                self._arrive(found.group(1))
        elif logger.endswith("/Send") and _ANY_RECEIPT.match(text) is not None:
            if (found := _RECEIPT.match(text) or _ACK.match(text)) is not None:
                self._acknowledge(found.group(1))
            self._hold_if_all_are_held()

    def kept(self, message_id: str) -> None:
        """The message lies in the event spool, or is nobody's business: WhatsApp may hear of it."""
        with self._changed:
            self._underway.discard(message_id)
            self._changed.notify_all()

    def refuse(self, message_id: str) -> None:
        """WhatsApp must not hear that this one has arrived, on this connection."""
        with self._changed:
            self._underway.discard(message_id)
            self._refused.add(message_id)
            self._changed.notify_all()

    def hold_all(self) -> None:
        """WhatsApp must not hear of anything more that has arrived, on this connection: receipts and acknowledgements of every kind wait
        until it is closed. What waits for its own message does not leave when its time is over."""
        with self._changed:
            self._holds_all = True
            self._changed.notify_all()

    def let_go(self) -> None:
        """The client is about to be stopped: nothing is read any more, so no reader need wait."""
        with self._changed:
            self._reading_freely = True
            self._changed.notify_all()

    def wait_closed(self) -> None:
        """Return when the client's socket is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed)

    def close(self) -> None:
        """The client's socket is closed: nobody need wait any more, and nothing can be sent."""
        with self._changed:
            self._closed = self._reading_freely = True
            self._changed.notify_all()

    def _arrive(self, message_id: str) -> None:
        with self._changed:
            free = self._changed.wait_for(
                lambda: self._reading_freely or len(self._underway) < self._ahead, timeout=self._hold_s
            )
            if not free:
                self._underway.clear()  # they will not be handed over at all
            self._underway.add(message_id)

    def _acknowledge(self, message_id: str) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or message_id not in self._underway, timeout=self._hold_s)
            self._changed.wait_for(lambda: self._closed or message_id not in self._refused)
            self._underway.discard(message_id)
            self._changed.notify_all()

    def _hold_if_all_are_held(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or not self._holds_all)
