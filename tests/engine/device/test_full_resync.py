"""A device file whose record went back to a backup: all its keys are shipped again, the record's other keys are shipped as deleted."""

from __future__ import annotations

import pytest

from actors.engine.device.file import DeviceFile, fault_of
from actors.engine.device.journal import Batch
from storage.whatsmeow.rows import APP_STATE_VERSION, KINDS, LID_MAPPING, REVERSE
from tests.engine.conftest import BuildFile
from tests.engine.device.test_file import fill
from tests.engine.rows import DEVICE, creds, insert


@pytest.fixture
def shipped(build_file: BuildFile) -> DeviceFile:
    """A file with a row in every mapped table, all of it shipped and cut."""
    file = build_file(linked=False)
    insert(file._connection, "whatsmeow_device", **DEVICE)
    fill(file._connection)
    file.cut(file.journal.position())
    return file


def read(file: DeviceFile, after: int) -> Batch:
    batch = file.journal.read(after)
    assert batch is not None
    assert not batch.has_more
    return batch


def test_every_key_is_shipped_again(shipped: DeviceFile) -> None:
    """Keys of every type, the credentials too; as many as a first shipment has."""
    position = shipped.journal.position()

    shipped.note_everything([])
    batch = read(shipped, position)

    assert batch.creds == creds()
    assert {key_type for key_type, _, _ in batch.changes} == {*KINDS, LID_MAPPING, APP_STATE_VERSION}
    assert [change for change in batch.changes if change[2] is None] == []
    names = [(key_type, key_id) for key_type, key_id, _ in batch.changes]
    assert len(names) == len(set(names))
    assert {key_id for key_type, key_id in names if key_type == LID_MAPPING} == {"79000000002", "2" + REVERSE}
    assert len([1 for key_type, _ in names if key_type == "pre-key"]) == 3


@pytest.mark.parametrize(
    "key",
    [
        ("pre-key", "77"),
        ("whatsmeow-session", "100000000000009_1:0"),
        ("identity-key", "100000000000009_1.0"),
        ("whatsmeow-sender-key", "1@g.us|100000000000009_1:0"),
        ("app-state-sync-key", "AAAA"),
        (LID_MAPPING, "79000000009"),
        (LID_MAPPING, "9" + REVERSE),
        (APP_STATE_VERSION, "critical_block"),
        ("whatsmeow-chat-settings", "9@lid"),
    ],
)
def test_what_only_the_record_has_is_shipped_as_gone(shipped: DeviceFile, key: tuple[str, str]) -> None:
    """A pre-key that was used after the backup must not be in the record again."""
    position = shipped.journal.position()

    shipped.note_everything([key])

    assert (*key, None) in read(shipped, position).changes


@pytest.mark.parametrize(
    "key", [("session", "x.0"), ("pre-key", "no number"), ("tctoken", "a|b"), (LID_MAPPING, "a|b")]
)
def test_what_no_file_has_a_place_for_is_left_alone(shipped: DeviceFile, key: tuple[str, str]) -> None:
    """Baileys' own types, and malformed ids."""
    position = shipped.journal.position()

    shipped.note_everything([key])

    assert key not in [change[:2] for change in read(shipped, position).changes]


def test_a_record_that_went_back_behind_what_was_cut_is_noticed(shipped: DeviceFile) -> None:
    """At the file's position it is not; one step behind, it is; when the journal still has those steps, they are shipped as usual."""
    position = shipped.journal.position()

    assert fault_of(shipped, shipped.file_id, position) is None
    assert fault_of(shipped, shipped.file_id, position - 1) == "ahead"
    assert fault_of(shipped, shipped.file_id, 0) == "ahead"
    assert fault_of(shipped, shipped.file_id, position + 1) == "behind"

    shipped._connection.execute("UPDATE whatsmeow_device SET push_name = 'Other'")

    assert fault_of(shipped, shipped.file_id, position) is None
    assert fault_of(shipped, shipped.file_id, position - 1) == "ahead"


def test_a_logged_out_device_is_not_shipped_again(shipped: DeviceFile) -> None:
    """Its deletion must not reach the record, which is archived instead."""
    shipped._connection.execute("DELETE FROM whatsmeow_device")

    assert fault_of(shipped, shipped.file_id, 0) is None
