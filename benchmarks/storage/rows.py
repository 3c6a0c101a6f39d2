"""What is written: the same rows whichever way."""

from __future__ import annotations

import base64
import random
from typing import Final

from storage.tables.auth_state import KeyChange

VALUE_BYTES: Final = 195
"""Random bytes of a value; as base64 in its JSON they make the 300 bytes that stored values have on average."""
KEYS: Final = 20
"""Keys that a writer has: after the first time each it updates them, as a company does with the sessions of those it talks to."""
KEY_TYPE: Final = "whatsmeow-session"
_VALUES: Final = 64


def company(number: int) -> str:
    """A writer's company."""
    return f"bench-{number}"


def key_id(number: int) -> str:
    """The key that a writer's so manieth upsert is of."""
    return f"{200000000000000 + number % KEYS}_1:0"


class Values:
    """JSON values of the usual size, from a seed."""

    def __init__(self, seed: int = 1) -> None:
        source = random.Random(seed)
        self._values = [
            b'{"type": "Buffer", "data": "%s", "at": %d}' % (base64.b64encode(source.randbytes(VALUE_BYTES)), number)
            for number in range(_VALUES)
        ]

    def __getitem__(self, number: int) -> bytes:
        return self._values[number % _VALUES]

    def changes(self, first: int, number: int) -> tuple[KeyChange, ...]:
        """So many changes of one company."""
        return tuple(KeyChange(KEY_TYPE, key_id(at), self[at]) for at in range(first, first + number))
