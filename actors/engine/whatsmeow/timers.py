"""The timers of chats whose messages disappear, as WhatsApp's clients keep them: each message names its chat's timer, and a change of the
timer is a message of its own, or a notice in a group. Who answers without it leaves a message that stays where all others go.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, final

from actors.engine.device.remembered import Remembered

SETTING: Final = "ephemeral_setting"
"""The kind of message that changes a timer."""
MAX_SECONDS: Final = 365 * 86_400
"""No client offers a longer one; a peer may say anything."""


class Timer(NamedTuple):
    """How long a chat's messages stay, and since when that is so (unix seconds; 0 when it is not known)."""

    seconds: int
    since: int = 0


@final
class Timers:
    """Of one company's chats. `of` costs a look into memory."""

    def __init__(self, remembered: Remembered) -> None:
        self._remembered = remembered

    def of(self, chat: str) -> Timer | None:
        """The timer of a chat, by any of its ids; None where messages stay, or as far as was heard."""
        found = self._remembered.get(chat)
        return None if found is None else Timer(*map(int, found.split()))

    def chosen(self, chat: str, seconds: int | None) -> Timer | None:
        """The timer of a message to ``chat``: ``seconds`` (0: it stays), or the chat's when that is None."""
        timer = self.of(chat)
        if seconds is None or (timer is not None and timer.seconds == seconds):
            return timer
        return Timer(seconds) if seconds else None

    def note(self, payload: Mapping[str, Any]) -> None:
        """Learn from a message. One that names no timer says nothing: not every client and kind does."""
        seconds = payload.get("ephemeralExpiration")
        if seconds is not None and (seconds or payload["kind"] == SETTING) and seconds <= MAX_SECONDS:
            chat = payload["chat"]
            ids = {chat[name] for name in ("id", "pn", "lid") if chat[name] is not None}
            self.set(ids, Timer(seconds, payload.get("ephemeralSettingTimestamp", 0)))

    def set(self, ids: set[str], timer: Timer) -> None:
        """The chat of these ids has this timer from now on; 0 seconds: none."""
        if timer.seconds:
            self._remembered.put(sorted(ids), f"{timer.seconds} {timer.since}", time.time())
        else:
            self._remembered.drop(sorted(ids))
