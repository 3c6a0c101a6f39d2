"""The timers of chats whose messages disappear, as WhatsApp's clients keep them: each message names its chat's timer, and a change of the
timer is a message of its own, or a notice in a group. A reply sent without the timer would stay when all other messages disappear.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, final

from actors.engine.device.remembered import Remembered

SETTING: Final = "ephemeral_setting"
"""The kind of message that changes a timer."""
MAX_SECONDS: Final = 365 * 86_400
"""The longest timer that is accepted: no client offers a longer one, but a peer may send any number."""


class Timer(NamedTuple):
    """How long a chat's messages stay, and since when (unix seconds; 0 when not known)."""

    seconds: int
    since: int = 0


@final
class Timers:
    """The timers of one company's chats. `of` reads memory."""

    def __init__(self, remembered: Remembered) -> None:
        self._remembered = remembered

    def of(self, chat: str) -> Timer | None:
        """Return the timer of a chat, by any of its ids; None when its messages stay or no timer is known."""
        found = self._remembered.get(chat)
        return None if found is None else Timer(*map(int, found.split()))

    def chosen(self, chat: str, seconds: int | None) -> Timer | None:
        """Return the timer of a message to ``chat``: ``seconds`` (0: it stays), or the chat's timer when that is None."""
        timer = self.of(chat)
        if seconds is None or (timer is not None and timer.seconds == seconds):
            return timer
        return Timer(seconds) if seconds else None

    def note(self, payload: Mapping[str, Any]) -> None:
        """Learn the timer from a message. A message without one changes nothing: not every client and kind names it."""
        seconds = payload.get("ephemeralExpiration")
        if seconds is not None and (seconds or payload["kind"] == SETTING) and seconds <= MAX_SECONDS:
            chat = payload["chat"]
            ids = {chat[name] for name in ("id", "pn", "lid") if chat[name] is not None}
            self.set(ids, Timer(seconds, payload.get("ephemeralSettingTimestamp", 0)))

    def set(self, ids: set[str], timer: Timer) -> None:
        """Set the timer of the chat of these ids; 0 seconds: none."""
        if timer.seconds:
            self._remembered.put(sorted(ids), f"{timer.seconds} {timer.since}", time.time())
        else:
            self._remembered.drop(sorted(ids))
