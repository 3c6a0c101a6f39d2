"""The report of a traced actor about each message it handled."""

from __future__ import annotations

from collections.abc import Callable

import msgspec


class TraceEvent(msgspec.Struct, frozen=True, gc=False):
    """One handled message. Of the message itself it holds only the type."""

    path: str
    incarnation: int
    message_type: str
    waited: float | None
    """Seconds in the mailbox; None when it crashed."""
    seconds: float
    """Seconds in the handler."""
    outcome: str
    """`done`, `refused` or `crashed`."""


Tracer = Callable[[TraceEvent], object]
