"""Specifications of children and supervisors, which make up a tree. They are checked when they are made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Final

from supervisor.tree.backoff import Backoff
from supervisor.tree.choices import INFINITY, AutoShutdown, BrutalKill, Ignored, Overflow, Restart, Strategy
from supervisor.tree.intensity import Intensity
from supervisor.tree.validation import check_child, check_dynamic, check_mailbox, check_supervisor

if TYPE_CHECKING:
    from supervisor.messaging.actor import Actor
    from supervisor.messaging.context import Context

DEFAULT_SHUTDOWN: Final = 5.0
"""Seconds an actor may take to stop."""
DEFAULT_INTENSITY: Final = Intensity()


@dataclass(frozen=True, slots=True)
class MailboxSpec:
    """Limits of a mailbox, in messages."""

    capacity: int = 1000
    overflow: Overflow = Overflow.REJECT
    stash_capacity: int = 1000

    def __post_init__(self) -> None:
        check_mailbox(self)


DEFAULT_MAILBOX: Final = MailboxSpec()


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """One child of a supervisor.

    ``start`` makes a new `Actor` for each incarnation (or returns `IGNORE`), or is the spec of a supervisor.
    ``shutdown``: seconds the child may take to stop before it is cancelled, `BRUTAL_KILL` or `INFINITY`; by default 5 s for
    an actor and `INFINITY` for a supervisor. ``start_timeout`` and ``handler_timeout`` (seconds) make a slow `started`, or a
    slow handling of one message, a crash; None: no limit. Raises `SpecError`.
    """

    id: str
    start: Callable[[Context], Actor | Ignored] | SupervisorSpec | DynamicSupervisorSpec
    _: KW_ONLY
    restart: Restart = Restart.PERMANENT
    shutdown: float | BrutalKill | None = None
    significant: bool = False
    backoff: Backoff | None = None
    mailbox: MailboxSpec = DEFAULT_MAILBOX
    start_timeout: float | None = None
    handler_timeout: float | None = None

    def __post_init__(self) -> None:
        check_child(self, MailboxSpec)
        if self.shutdown is None:
            object.__setattr__(self, "shutdown", INFINITY if self.is_supervisor else DEFAULT_SHUTDOWN)

    @property
    def is_supervisor(self) -> bool:
        """Whether the child is a supervisor."""
        return isinstance(self.start, (SupervisorSpec, DynamicSupervisorSpec))


@dataclass(frozen=True, slots=True)
class SupervisorSpec:
    """A supervisor whose children start in the order given and stop in the reverse order.

    ``children``: a sequence, or a function that returns one (or `IGNORE`) each time the supervisor starts.
    Raises `SpecError`.
    """

    children: Sequence[ChildSpec] | Callable[[], Sequence[ChildSpec] | Ignored]
    _: KW_ONLY
    strategy: Strategy = Strategy.ONE_FOR_ONE
    intensity: Intensity = DEFAULT_INTENSITY
    auto_shutdown: AutoShutdown = AutoShutdown.NEVER

    def __post_init__(self) -> None:
        check_supervisor(self, ChildSpec)


@dataclass(frozen=True, slots=True)
class DynamicSupervisorSpec:
    """A supervisor with children added and removed at run time, in no order; each restarts alone, and all stop together.

    With ``intensity_per_child`` the intensity applies to each child alone, and a child that exceeds it is given up
    (state `failed`) while the others go on; without it the children share it, and exceeding it ends the supervisor.
    Raises `SpecError`.
    """

    _: KW_ONLY
    intensity: Intensity = DEFAULT_INTENSITY
    max_children: int | None = None
    intensity_per_child: bool = False

    def __post_init__(self) -> None:
        check_dynamic(self)
