"""Why an incarnation ended, as immutable records that msgspec can encode. They hold only text and numbers, so they form no cycles."""

from __future__ import annotations

from typing import Final, Literal

import msgspec


class CrashReport(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One crash. Holds text only: no exception, no frame, and of the message only the name of its type."""

    type: str
    """Name of the exception's class, or `Killed`, `HandlerTimeout`, `StartTimeout`."""
    text: str
    """``str(exception)``, at most 1,000 characters."""
    traceback: str
    """As Python prints it, at most 16,000 characters; empty when there was no exception."""
    message_type: str | None
    """Class name of the message in hand, None outside of a handler."""
    caller: str | None
    """Name of the task that asked (the path, for an actor); None unless the current message was an ask."""
    at: float
    """Unix seconds."""


class ExitReason(msgspec.Struct, frozen=True, gc=False):
    """Why an incarnation ended. Compare ``kind`` rather than the whole: ``text`` is for people."""

    kind: Literal["normal", "shutdown", "killed", "crashed", "noproc"]
    text: str = ""
    crash: CrashReport | None = None

    @property
    def is_expected(self) -> bool:
        """Whether this is an orderly end: a transient child is not restarted after it."""
        return self.kind in ("normal", "shutdown")

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}" if self.text else self.kind


NORMAL: Final = ExitReason("normal")
SHUTDOWN: Final = ExitReason("shutdown")
CYCLED: Final = ExitReason("shutdown", "to be started again")
"""An orderly stop that `System.restart` requested; the next incarnation follows at once."""
KILLED: Final = ExitReason("killed")
NOPROC: Final = ExitReason("noproc")
"""In a `Down` message: there was no incarnation to monitor."""


EventKind = Literal[
    "started", "crashed", "stopped", "restarting", "restarted", "gave_up", "stuck", "terminated", "escalated"
]


class LifecycleEvent(msgspec.Struct, frozen=True, gc=False):
    """Something happened to an incarnation.

    ``started``/``restarted``: it is ready. ``crashed``: it ended abnormally, or did not start. ``stopped``: it ended by
    itself, in an orderly way. ``terminated``: its supervisor ended it. ``restarting``: it will be started again in
    ``delay`` seconds. ``gave_up``: it exceeded its own intensity and stays down. ``escalated``: a supervisor's
    intensity was exceeded, and the supervisor ends. ``stuck``: it was cancelled and has not ended since; its task
    cannot be killed.
    """

    kind: EventKind
    path: str
    time: float
    """trio's clock, seconds."""
    incarnation: int
    restarts: int
    """Restarts of this child so far."""
    reason: ExitReason | None = None
    crash: CrashReport | None = None
    delay: float | None = None
    """Seconds, with ``restarting``."""


class ActorSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One place in the tree at one moment, with everything below it. Times are ages in seconds."""

    path: str
    id: str
    kind: Literal["actor", "supervisor"]
    state: Literal["starting", "running", "restarting", "suspended", "stopping", "stopped", "failed"]
    since: float
    """Unix seconds at which it entered this state."""
    uptime: float | None
    """Seconds the present incarnation has been ready; None while it is not."""
    incarnation: int
    restarts: int
    restarts_in_window: int
    is_stuck: bool
    mailbox_depth: int
    mailbox_capacity: int
    oldest_message_age: float | None
    dropped: int
    """Messages lost to the overflow policy or to a stop."""
    stashed: int
    handled: int
    refused: int
    """Messages that ended with a `Refusal`."""
    handler_seconds: float
    current_message: str | None
    """Type of the message in hand."""
    current_message_seconds: float | None
    recent_messages: tuple[str, ...]
    """Types of the last messages handled, oldest first."""
    last_crash: CrashReport | None
    children: tuple[ActorSnapshot, ...] = ()


class ChildInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One line of `which_children`."""

    id: str
    path: str
    kind: Literal["actor", "supervisor"]
    state: Literal["starting", "running", "restarting", "suspended", "stopping", "stopped", "failed"]
    incarnation: int


class ChildCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Result of `count_children`."""

    specs: int
    active: int
    """Children with a live incarnation."""
    supervisors: int
    workers: int
