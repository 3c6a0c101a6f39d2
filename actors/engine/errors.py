"""What can go wrong inside the engine process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from actors.engine.device.event_spool import Item


class EngineError(Exception):
    """Base of the engine's own errors."""


class SqliteError(EngineError):
    """SQLite refused an operation; ``code`` is its extended result code."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"SQLite error {code}: {text}")
        self.code = code


class WriteFault(SqliteError):
    """The file system refused a write of SQLite's: it is full, read-only or broken. Nothing of the statement was written."""


class UnknownSchema(EngineError):
    """A file or the library has a schema this version does not know; nothing was changed."""

    def __init__(self, found: tuple[int, int] | None, expected: tuple[int, int]) -> None:
        super().__init__(f"whatsmeow schema {found} where {expected} was expected")
        self.found = found
        self.expected = expected


class EventSpoolFull(EngineError):
    """The daemon has not stored an event for so long that the event spool has reached its limit."""


class DamagedFile(EngineError):
    """What lies at a device file's path cannot be used as one: it is broken, unfinished, or not a file.

    ``event_spool`` holds the events that could still be read from it (`actors.engine.device.event_spool.Item`).
    """

    def __init__(self, text: str, event_spool: Sequence[Item] = ()) -> None:
        super().__init__(text)
        self.event_spool = tuple(event_spool)


class BadAuthState(EngineError):
    """The auth state sent by the daemon cannot become a device file; the text names the field."""


class LibraryError(EngineError):
    """The WhatsApp library answered a call with an error; ``text`` is its own sentence."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class CallRefused(EngineError):
    """A call that cannot be made or that failed; ``code`` is one of `protocol.Failed`'s."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
