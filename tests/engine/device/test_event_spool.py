"""The event spool keeps messages that WhatsApp will not send again."""

from __future__ import annotations

import pytest

from actors.engine.device import event_spool as module
from actors.engine.device.event_spool import Item
from actors.engine.errors import EventSpoolFull
from tests.engine.conftest import BuildFile
from tests.engine.rows import put_identity


def test_an_event_carries_the_position_of_its_ratchet_step(build_file: BuildFile) -> None:
    """The library has written the step before it reports the message."""
    file = build_file()
    put_identity(file._connection)

    file.event_spool.put("message", b'{"a":1}')

    assert file.event_spool.read(0) == [Item(1, "message", b'{"a":1}', file.journal.position())]


def test_what_was_stored_is_forgotten_and_numbers_grow_on(build_file: BuildFile) -> None:
    """A number is never used twice."""
    file = build_file()
    for _ in range(3):
        file.event_spool.put("message", b"{}")

    file.event_spool.cut(2)
    remaining = [item.number for item in file.event_spool.all()]
    file.event_spool.cut(3)
    file.event_spool.put("message", b"{}")

    assert remaining == [3]
    assert [item.number for item in file.event_spool.all()] == [4]


def test_reading_is_bounded(build_file: BuildFile) -> None:
    """A long backlog comes in portions."""
    file = build_file()
    for _ in range(module.READ_AT_ONCE + 5):
        file.event_spool.put("receipt", b"{}")

    first = file.event_spool.read(0)

    assert len(first) == module.READ_AT_ONCE
    assert [item.number for item in file.event_spool.read(first[-1].number)] == list(range(101, 106))


def test_a_full_outbox_takes_no_more_until_something_was_stored(
    build_file: BuildFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library is held back; WhatsApp keeps what it has not delivered."""
    monkeypatch.setattr(module, "MAX_KEPT", 3)
    file = build_file()
    for _ in range(3):
        file.event_spool.put("message", b"{}")

    with pytest.raises(EventSpoolFull):
        file.event_spool.put("message", b"{}")
    file.event_spool.cut(1)
    file.event_spool.put("message", b"{}")

    assert [item.number for item in file.event_spool.all()] == [2, 3, 4]
