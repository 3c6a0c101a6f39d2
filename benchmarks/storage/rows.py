"""The rows that are written, the same for every way of writing."""

from __future__ import annotations

import base64
import random
from typing import Final

from storage.tables.auth_state import KeyChange

VALUE_BYTES: Final = 195
"""Random bytes in a value. As base64 in its JSON they make the 300 bytes that stored values have on average."""
KEYS: Final = 20
"""The keys of a writer. It inserts each once and then updates them, as a company does with its Signal sessions."""
KEY_TYPE: Final = "whatsmeow-session"
_VALUES: Final = 64


def company(number: int) -> str:
    """Return the id of a writer's company."""
    return f"bench-{number}"


def key_id(number: int) -> str:
    """Return the id of the key of a writer's upsert ``number``."""
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
        """Return ``number`` changes of one company, from ``first`` on."""
        return tuple(KeyChange(KEY_TYPE, key_id(at), self[at]) for at in range(first, first + number))
