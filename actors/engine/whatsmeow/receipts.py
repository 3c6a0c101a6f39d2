"""Withholds the receipt of a message until the message is in the event spool.

The library decrypts a message, acknowledges it to WhatsApp, and hands it over later, through a queue of a hundred. A process that is
killed in between loses the message: WhatsApp will not send it again. At its DEBUG level the library logs what it is about to read and to
send, on the thread that does it, and that thread waits for our callback. So this module can withhold a receipt until the message is
spooled, and let the library read the next message only when few are under way. WhatsApp delivers unacknowledged messages again
after the next log-in. Once the library has failed to store something (actors/engine/whatsmeow/write_faults.py) nothing at all is
acknowledged: it takes such a message for undecryptable, and its acknowledgement would make WhatsApp forget the message.
docs/adr/0011-what-the-library-would-lose.md has the measurements.
"""

from __future__ import annotations

import threading
from typing import Final, final

from actors.engine.whatsmeow import log_lines

HOLD_S: Final = 10.0
"""The longest that a thread of the library is held: some messages are not for applications, and are never handed over."""

AHEAD: Final = 4
"""The most messages between WhatsApp and the event spool; each holds a thread."""


@final
class Receipts:
    """The receipts of one client; every method is called on the library's threads, except `let_go` and `close`."""

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
        """Take a line that the library logs before it does what the line says. Return when it may do that."""
        if (message_id := log_lines.arriving_message(logger, text)) is not None:
            self._arrive(message_id)
        elif log_lines.is_receipt_leaving(logger, text):
            if (message_id := log_lines.acknowledged_message(text)) is not None:
                self._acknowledge(message_id)
            self._hold_if_all_are_held()

    def kept(self, message_id: str) -> None:
        """Let the message be acknowledged: it is in the event spool, or it is not for applications."""
        with self._changed:
            self._underway.discard(message_id)
            self._changed.notify_all()

    def refuse(self, message_id: str) -> None:
        """Never acknowledge this message on this connection."""
        with self._changed:
            self._underway.discard(message_id)
            self._refused.add(message_id)
            self._changed.notify_all()

    def hold_all(self) -> None:
        """Acknowledge nothing more on this connection: receipts and acknowledgements of every kind wait until it is closed, those that
        wait for their own message included, even after `HOLD_S`."""
        with self._changed:
            self._holds_all = True
            self._changed.notify_all()

    def let_go(self) -> None:
        """Release the threads that wait to read: the client is about to be stopped."""
        with self._changed:
            self._reading_freely = True
            self._changed.notify_all()

    def wait_closed(self) -> None:
        """Return when the client's socket is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed)

    def close(self) -> None:
        """Release every waiting thread: the client's socket is closed, and nothing can be sent."""
        with self._changed:
            self._closed = self._reading_freely = True
            self._changed.notify_all()

    def _arrive(self, message_id: str) -> None:
        with self._changed:
            free = self._changed.wait_for(
                lambda: self._reading_freely or len(self._underway) < self._ahead, timeout=self._hold_s
            )
            if not free:
                self._underway.clear()  # these messages will never be handed over
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
