"""The event spool of a device file: events that WhatsApp will not send again, kept until the daemon has stored them."""

from __future__ import annotations

from typing import Final, NamedTuple, final

from actors.engine.device.sqlite import Connection
from actors.engine.errors import EventSpoolFull

READ_AT_ONCE: Final = 100
REMEMBERED: Final = 2_000
"""How many ids of spooled messages are remembered. WhatsApp delivers unacknowledged messages again, and has fewer than this under way."""

MAX_KEPT: Final = 50_000
"""The most events kept. Beyond this the library is held back; WhatsApp keeps the messages that it has not delivered."""


class Item(NamedTuple):
    """One event: its number, type, JSON payload, and the journal position of the ratchet step that brought it."""

    number: int
    type: str
    payload: bytes
    position: int


@final
class EventSpool:
    """Every method blocks for milliseconds at most and takes the connection's lock; `put` returns when the event is on disk."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._kept = self._count()

    def put(self, type_: str, payload: bytes, *, media: bytes | None = None, message_id: str | None = None) -> None:
        """Keep an event; called on the library's thread, before any other code sees the event. Raise `EventSpoolFull` beyond `MAX_KEPT`.

        With ``media`` a `media` event comes right before it: both are kept, or neither. With ``message_id`` nothing is kept when
        a message of that id was kept before (`has_kept`).
        """
        if self._kept >= MAX_KEPT:
            raise EventSpoolFull(f"{MAX_KEPT} events wait to be stored")
        if media is None and message_id is None:
            self._insert(type_, payload)
            return
        with self._connection.transaction():
            if message_id is not None and not self._is_new(message_id):
                return
            if media is not None:
                self._insert("media", media)
            self._insert(type_, payload)

    def has_kept(self, message_id: str) -> bool:
        """Whether a message of this id is among the last `REMEMBERED` that were kept."""
        return self._connection.scalar("SELECT 1 FROM wasup_arrived WHERE message_id = ?", (message_id,)) == 1

    def _is_new(self, message_id: str) -> bool:
        if self.has_kept(message_id):
            return False
        self._connection.execute("INSERT INTO wasup_arrived (message_id) VALUES (?)", (message_id,))
        self._connection.execute(
            "DELETE FROM wasup_arrived WHERE number <= (SELECT max(number) FROM wasup_arrived) - ?", (REMEMBERED,)
        )
        return True

    def _insert(self, type_: str, payload: bytes) -> None:
        self._connection.execute(
            "INSERT INTO wasup_outbox (type, payload, position) VALUES (?, ?, "
            "coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'wasup_journal'), 0))",
            (type_, payload),
        )
        self._kept += 1

    def read(self, after: int) -> list[Item]:
        """Return at most `READ_AT_ONCE` events beyond ``after``, in order."""
        rows = self._connection.execute(
            "SELECT number, type, payload, position FROM wasup_outbox WHERE number > ? ORDER BY number LIMIT ?",
            (after, READ_AT_ONCE),
        )
        return [_item(row) for row in rows]

    def all(self) -> list[Item]:
        """Return all events that are still kept: a rebuilt file takes them over."""
        return [
            _item(row)
            for row in self._connection.execute(
                "SELECT number, type, payload, position FROM wasup_outbox ORDER BY number"
            )
        ]

    def cut(self, number: int) -> None:
        """Delete everything up to ``number``."""
        self._connection.execute("DELETE FROM wasup_outbox WHERE number <= ?", (number,))
        self._kept = self._count()

    def _count(self) -> int:
        return int(str(self._connection.scalar("SELECT count(*) FROM wasup_outbox")))


def _item(row: tuple[object, ...]) -> Item:
    number, type_, payload, position = row
    return Item(
        int(str(number)),
        str(type_),
        payload if isinstance(payload, bytes) else str(payload).encode(),
        int(str(position)),
    )
