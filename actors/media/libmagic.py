"""Asks libmagic for the type of a file, within limits, because the file comes from strangers.

Some of its rules take time quadratic in the length of a run of white space: 256 KiB of line ends cost a second of processor time. The type
of a file that is not text shows before such a run, so libmagic gets only the bytes before one.
"""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any, Final, final

import trio

LONGEST_RUN: Final = 256
"""Bytes of white space in a row that libmagic gets at most. A head full of runs of this length takes 20 ms."""
AT_ONCE: Final = 4
TIMEOUT_S: Final = 2.0
_RUN: Final = re.compile(rb"[\t-\r ]{%d}" % LONGEST_RUN)


@final
class Recognizer:
    """Makes at most `AT_ONCE` calls at once, each with an instance of its own, because an instance has a lock.

    Making an instance takes a tenth of a millisecond.
    """

    def __init__(self, *, timeout_s: float = TIMEOUT_S) -> None:
        self._limiter = trio.CapacityLimiter(AT_ONCE)
        self._timeout_s = timeout_s

    async def type_of(self, head: bytes) -> str | None:
        """Return the type of a file that begins with ``head``; None when it is not found in time. A call that takes longer is left."""
        shown = shown_part(head)
        with trio.move_on_after(self._timeout_s):
            return await trio.to_thread.run_sync(_type_of, shown, abandon_on_cancel=True, limiter=self._limiter)
        return None


def shown_part(head: bytes) -> bytes:
    """Return ``head`` up to the end of its first long run of white space."""
    found = _RUN.search(head)
    return head if found is None else head[: found.end()]


def _type_of(head: bytes) -> str:
    import_module("pylibmagic")  # lets the next import find the library
    magic: Any = import_module("magic")
    return str(magic.Magic(mime=True).from_buffer(head)).lower()
