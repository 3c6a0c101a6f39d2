"""The options of polls, kept in the device file because a vote names them by their hashes only."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from typing import Final, final

from actors.engine.device.remembered import Remembered
from config.json_text import read_json

POLLS: Final = 2_000
"""The most polls kept for a company, the newest, each under one or two addresses of its chat."""
MAX_CHARACTERS: Final = 4_096
"""The most characters in all options of a poll; WhatsApp allows 12 of 100. A longer poll is not kept: its votes show only hashes."""


@final
class Polls:
    """The polls of one company. `options` reads memory."""

    def __init__(self, remembered: Remembered) -> None:
        self._remembered = remembered

    def options(self, chat: Iterable[str], poll: str) -> Sequence[str]:
        """Return the options of the poll of this id in the chat of these addresses; empty when the poll is not known."""
        kept = next(filter(None, (self._remembered.get(_key(address, poll)) for address in chat)), "[]")
        return read_json(kept, list[str])

    def keep(self, chat: Iterable[str], poll: str, options: Sequence[str]) -> None:
        """Keep the options of the poll of this id in the chat of these addresses."""
        text = json.dumps(options)
        if len(text) <= MAX_CHARACTERS:
            self._remembered.put([_key(address, poll) for address in chat], text, time.time())


def _key(address: str, poll: str) -> str:
    return f"{address}/{poll[:128]}"
