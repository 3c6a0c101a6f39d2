"""What the loopback saw: counters, the latest routed messages, and a way to wait for a change."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import trio

MAX_ROUTED: Final = 100_000

Outcome = Literal["sent", "stored", "phone", "unknown"]
"""sent: written to the device; stored: it is offline; phone: for device 0, which drops it; unknown: no such device."""


@dataclass(frozen=True, slots=True)
class Routed:
    """One ciphertext for one device."""

    at: float
    """Unix seconds."""
    message_id: str
    sender: str
    recipient: str
    kind: str
    """``pkmsg``, ``msg`` or (in groups) ``skmsg``."""
    size: int
    retry: int
    """0 for a first sending, else the count of the retry receipt it answers."""
    outcome: Outcome


@dataclass(slots=True)
class Counters:
    """Totals since the start."""

    connections: int = 0
    led_back: int = 0
    """Streams that began with the routing data their client was given at an earlier log-in."""
    pairings: int = 0
    logins: int = 0
    refused_logins: int = 0
    replaced: int = 0
    messages: int = 0
    """Message stanzas taken from clients."""
    receipts: int = 0
    retry_receipts: int = 0
    queries: int = 0
    chat_states: int = 0
    """Typing, recording and paused notices from clients."""
    unreadable: int = 0
    """Streams that were ended because the client sent something that is not WhatsApp."""


class Journal:
    """The loopback's memory of what happened."""

    def __init__(self) -> None:
        self.counters = Counters()
        self.routed: deque[Routed] = deque(maxlen=MAX_ROUTED)
        self._changed = trio.Event()

    def note(self, routed: Routed) -> None:
        """Remember one routed ciphertext."""
        self.routed.append(routed)
        self.changed()

    def changed(self) -> None:
        """Wake the tasks in `wait_until`."""
        self._changed.set()
        self._changed = trio.Event()

    async def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait until ``condition`` holds; it is looked at after every change."""
        while not condition():
            await self._changed.wait()
