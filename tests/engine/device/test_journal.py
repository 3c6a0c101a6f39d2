"""The journal: every change of a mapped key is noted once and read with its present value."""

from __future__ import annotations

import json

import pytest

from actors.engine.device import journal as journal_module
from actors.engine.device.file import DeviceFile
from actors.engine.device.journal import Batch
from actors.engine.device.sqlite import Connection
from tests.engine.conftest import BuildFile
from tests.engine.rows import DEVICE, JID, PEER, insert, put_identity, put_pre_keys, put_session


def writer(file: DeviceFile) -> Connection:
    """A connection that writes as the library would."""
    connection = file._connection
    connection.script("PRAGMA foreign_keys = ON")
    return connection


def read(file: DeviceFile, after: int = 0) -> Batch:
    """The next batch, which must be there."""
    batch = file.journal.read(after)
    assert batch is not None
    return batch


def ids(batch: Batch) -> list[tuple[str, str]]:
    """The keys of a batch."""
    return [(key_type, key_id) for key_type, key_id, _ in batch.changes]


def test_a_new_file_has_nothing_to_say(build_file: BuildFile) -> None:
    """Values from Postgres are not sent back to it."""
    file = build_file([("pre-key", "1", b'{"private":"' + b"A" * 43 + b'="}')])

    assert file.journal.read(0) is None
    assert file.journal.position() == 0


def test_a_changed_key_is_read_with_its_present_value(build_file: BuildFile) -> None:
    """However often it changed, one entry is shipped, with the newest value."""
    file = build_file()
    for octet in (1, 2, 3):
        put_identity(writer(file), octet=octet)

    batch = read(file)

    assert ids(batch) == [("identity-key", PEER.replace(":", "."))]
    assert batch.changes[0][2] == b'{"type":"Buffer","data":"BQMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMD"}'
    assert batch.position == file.journal.position()


def test_a_write_that_changes_nothing_leaves_no_note(build_file: BuildFile) -> None:
    """Identity keys are written again with every message; that is not a change."""
    file = build_file()
    put_identity(writer(file))
    position = file.journal.position()

    put_identity(writer(file))

    assert file.journal.position() == position


def test_a_deleted_key_is_read_as_gone(build_file: BuildFile) -> None:
    """A used pre-key is deleted from Postgres too."""
    file = build_file()
    put_pre_keys(writer(file), 1, 1)
    writer(file).execute("DELETE FROM whatsmeow_pre_keys WHERE key_id = 1")

    assert read(file).changes == [("pre-key", "1", None)]


def test_a_lid_that_gets_another_number_changes_three_keys(build_file: BuildFile) -> None:
    """Old number, new number and the LID's own direction."""
    file = build_file()
    insert(writer(file), "whatsmeow_lid_map", lid="100000000000002", pn="79000000002")
    after = file.journal.position()

    writer(file).execute("UPDATE whatsmeow_lid_map SET pn = '79000000003' WHERE lid = '100000000000002'")

    assert sorted(read(file, after).changes, key=str) == [
        ("lid-mapping", "100000000000002_reverse", b'"79000000003"'),
        ("lid-mapping", "79000000002", None),
        ("lid-mapping", "79000000003", b'"100000000000002"'),
    ]


def test_an_app_state_version_carries_its_mutation_macs(build_file: BuildFile) -> None:
    """Version row and MAC rows are one key, and a change of either ships it."""
    file = build_file()
    insert(writer(file), "whatsmeow_app_state_version", jid=JID, name="regular", version=3, hash=b"h" * 128)
    after = file.journal.position()

    insert(
        writer(file),
        "whatsmeow_app_state_mutation_macs",
        jid=JID,
        name="regular",
        version=3,
        index_mac=b"i" * 32,
        value_mac=b"v" * 32,
    )

    batch = read(file, after)
    assert ids(batch) == [("app-state-sync-version", "regular")]
    assert [entry["version"] for entry in json.loads(batch.changes[0][2] or b"")["indexValueMap"].values()] == [3]


def test_the_device_row_is_the_creds(build_file: BuildFile) -> None:
    """A new push name ships the creds and no key."""
    file = build_file()

    writer(file).execute("UPDATE whatsmeow_device SET push_name = 'Other'")

    batch = read(file)
    assert batch.changes == []
    assert json.loads(batch.creds or b"")["me"]["name"] == "Other"


def test_nothing_is_shipped_once_the_device_is_gone(build_file: BuildFile) -> None:
    """A log-out deletes every row; those deletions must not reach the record that is to be archived."""
    file = build_file()
    put_session(writer(file))
    put_pre_keys(writer(file), 1, 5)

    writer(file).execute("DELETE FROM whatsmeow_device")

    assert writer(file).scalar("SELECT count(*) FROM whatsmeow_sessions") == 0
    assert file.journal.read(0) is None


def test_many_changes_come_in_bounded_batches(build_file: BuildFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """No batch holds more than the limit, and together they hold everything, in order."""
    monkeypatch.setattr(journal_module, "MAX_KEYS", 10)
    file = build_file()
    put_pre_keys(writer(file), 1, 25)

    batches = [read(file)]
    while (batch := file.journal.read(batches[-1].position)) is not None:
        batches.append(batch)

    assert [len(batch.changes) for batch in batches] == [10, 10, 5]
    assert [key_id for batch in batches for _, key_id in ids(batch)] == [str(number) for number in range(1, 26)]


def test_a_batch_is_bounded_in_bytes_too(build_file: BuildFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few large values fill a frame as well."""
    monkeypatch.setattr(journal_module, "MAX_BYTES", 1000)
    file = build_file()
    for device in range(5):
        put_session(writer(file), their_id=f"100000000000002_1:{device}", session=b"{" + b" " * 700 + b"}")

    assert len(read(file).changes) == 2


def test_a_value_too_large_for_any_frame_is_left_behind(build_file: BuildFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is counted, and does not stop later entries."""
    monkeypatch.setattr(journal_module, "MAX_VALUE_BYTES", 500)
    file = build_file()
    put_session(writer(file), session=b"{" + b" " * 700 + b"}")
    put_identity(writer(file))

    batch = read(file)

    assert (batch.oversized, ids(batch)) == (1, [("identity-key", PEER.replace(":", "."))])


def test_positions_grow_although_the_journal_is_cut(build_file: BuildFile) -> None:
    """A number is never used twice, or Postgres would take new changes for old ones."""
    file = build_file()
    put_identity(writer(file), octet=1)
    position = read(file).position
    file.journal.cut(position)

    put_identity(writer(file), octet=2)

    assert file.journal.position() == position + 1
    assert read(file, position).position == position + 1


@pytest.mark.parametrize("name", ["nul\x00inside", "\udcff\udcfe"])
def test_a_hostile_name_does_not_stop_the_journal(build_file: BuildFile, name: str) -> None:
    """Names come from other people's phones; each becomes JSON that Postgres accepts."""
    file = build_file()

    insert(writer(file), "whatsmeow_contacts", our_jid=JID, their_jid="79000000002@s.whatsapp.net", push_name=name)

    value = (read(file).changes[0][2] or b"").decode()
    assert "\\u0000" not in value
    assert json.loads(value)["pushName"]["type"] == "Buffer"


def test_a_device_linked_in_an_empty_file_is_shipped_whole(build_file: BuildFile) -> None:
    """Linking writes creds and keys; all of them are shipped."""
    file = build_file(linked=False)
    insert(writer(file), "whatsmeow_device", **DEVICE)
    put_identity(writer(file))

    batch = read(file)

    assert batch.creds is not None
    assert ids(batch) == [("identity-key", PEER.replace(":", "."))]


def test_a_long_journal_keeps_the_newest_entry_of_each_key(
    build_file: BuildFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While Postgres is away for days the journal grows no longer than the number of keys."""
    monkeypatch.setattr(journal_module, "COMPACT_BEYOND", 10)
    file = build_file()
    for octet in range(12):
        put_identity(writer(file), octet=octet)
    put_session(writer(file))
    position = file.journal.position()

    file.journal.compact()

    assert writer(file).scalar("SELECT count(*) FROM wasup_journal") == 2
    batch = read(file)
    assert batch.position == file.journal.position() == position
    assert sorted(key_type for key_type, _ in ids(batch)) == ["identity-key", "whatsmeow-session"]
