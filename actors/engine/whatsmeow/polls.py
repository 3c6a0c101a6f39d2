"""The options of polls, which a vote names by their hashes only. Kept in the device file beside the chats' timers."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, final

from actors.engine.device.remembered import Remembered
from config.json_text import read_json

POLLS: Final = 2_000
"""Of a company, the newest are kept, each under one or two addresses of its chat."""
MAX_CHARACTERS: Final = 4_096
"""Of all options of a poll; WhatsApp allows 12 of 100. A longer one is not kept: its votes have hashes alone."""


@final
class Polls:
    """Of one company. `options` costs a look into memory."""

    def __init__(self, remembered: Remembered) -> None:
        self._remembered = remembered

    def options(self, chat: Iterable[str], poll: str) -> Sequence[str]:
        """Those of the poll of this id in the chat of these addresses; none where it is not known."""
        kept = next(filter(None, (self._remembered.get(_key(address, poll)) for address in chat)), "[]")
        return read_json(kept, list[str])

    def note(self, payload: Mapping[str, Any], chat: Iterable[str]) -> None:
        """Learn from a message that is a poll."""
        if payload["kind"] == "poll":
            self.keep(chat, payload["messageId"], payload["poll"]["options"])

    def keep(self, chat: Iterable[str], poll: str, options: Sequence[str]) -> None:
        """The poll of this id in the chat of these addresses has these options."""
        text = json.dumps(options)
        if len(text) <= MAX_CHARACTERS:
            self._remembered.put([_key(address, poll) for address in chat], text, time.time())


def _key(address: str, poll: str) -> str:
    return f"{address}/{poll[:128]}"
