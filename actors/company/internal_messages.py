"""Messages to a company actor from its own tasks and timers. ``session`` numbers engine connections: those of an old one are ignored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from actors.engine.protocol.messages import FromEngine, Opened
from supervisor import ReplyTo


@dataclass(frozen=True, slots=True)
class BringUp:
    """Take the lease, open the engine connection, and connect if linked; unless an order came first."""

    session: int
    """The number of the session before."""


@dataclass(frozen=True, slots=True)
class TurnCame:
    """It is this session's turn to open or to log in again."""

    session: int


@dataclass(frozen=True, slots=True)
class SessionOpened:
    session: int
    opened: Opened


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """The engine connection is gone. ``code``: as in `actors.messages.Refused`, or `engine_lost`."""

    session: int
    code: str
    why: str
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class FromEngineNotice:
    session: int
    message: FromEngine


@dataclass(frozen=True, slots=True)
class MessagesStored:
    """The event log took ``count`` incoming messages of this company."""

    count: int


@dataclass(frozen=True, slots=True)
class PairingDurable:
    """The new device's credentials are committed."""

    session: int


@dataclass(frozen=True, slots=True)
class LoggedOut:
    """WhatsApp confirmed the logout that an operator ordered."""

    reply: ReplyTo[Any]


@dataclass(frozen=True, slots=True)
class IdentityArchived:
    """The auth state is in the archive."""


@dataclass(frozen=True, slots=True)
class AttemptFailed:
    """A `Connect` call failed."""

    session: int
    why: str
    code: str = ""
    """As in `protocol.Failed`."""


@dataclass(frozen=True, slots=True)
class VersionChanged:
    """It is this company's turn to log in, and its engine process announces a version that is not the present one."""

    session: int


@dataclass(frozen=True, slots=True)
class VersionDecided:
    """What to do about a refused version is decided."""

    serial: int
    refused: str


@dataclass(frozen=True, slots=True)
class RetryDue:
    serial: int


@dataclass(frozen=True, slots=True)
class DeadlineReached:
    serial: int
