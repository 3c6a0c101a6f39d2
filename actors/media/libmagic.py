"""What libmagic says that bytes are, within bounds: it is shown what strangers send.

Some of its rules take the square of the length of a run of white space: 256 KiB of line ends take it a second of processor time. Files
that are anything but text show what they are before such a run, so it is shown nothing after one.
"""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any, Final, final

import trio

LONGEST_RUN: Final = 256
"""Bytes of white space in a row that are shown. A head full of runs of this length takes 20 ms."""
AT_ONCE: Final = 4
TIMEOUT_S: Final = 2.0
_RUN: Final = re.compile(rb"[\t-\r ]{%d}" % LONGEST_RUN)


@final
class Recognizer:
    """At most `AT_ONCE` calls at once, each with an instance of its own: one for all would be one lock for all.

    Making an instance takes a tenth of a millisecond.
    """

    def __init__(self, *, timeout_s: float = TIMEOUT_S) -> None:
        self._limiter = trio.CapacityLimiter(AT_ONCE)
        self._timeout_s = timeout_s

    async def type_of(self, head: bytes) -> str | None:
        """The type of a file that begins so; None when nothing was found out in time. A call that takes longer ends without us."""
        shown = shown_part(head)
        with trio.move_on_after(self._timeout_s):
            return await trio.to_thread.run_sync(_type_of, shown, abandon_on_cancel=True, limiter=self._limiter)
        return None


def shown_part(head: bytes) -> bytes:
    """``head`` up to the end of its first long run of white space."""
    found = _RUN.search(head)
    return head if found is None else head[: found.end()]


def _type_of(head: bytes) -> str:
    import_module("pylibmagic")  # makes the library findable for the next one
    magic: Any = import_module("magic")
    return str(magic.Magic(mime=True).from_buffer(head)).lower()
