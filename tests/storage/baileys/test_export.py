"""Auth state as a Baileys directory: what it held comes back, what Baileys cannot hold is reported."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from storage.baileys.directory import BaileysError, read_directory
from storage.baileys.export import Export, export_files
from storage.baileys.importing import Plan, plan_import
from storage.tables.auth_state import AuthState
from storage.whatsmeow.codec import decode_buffer
from tests.support import baileys as b

COMPANY = "962302"
NOW_MS = 1_700_000_000_000


def plan(path: Path, files: dict[str, Any]) -> Plan:
    return plan_import(read_directory(b.write(path, files)), time.time())


def state_of(made: Plan, *more: tuple[str, str, bytes]) -> AuthState:
    """The state that such an import stores."""
    keys = [(change.key_type, change.key_id, change.value or b"") for change in made.changes]
    return AuthState(COMPANY, made.identity.creds, "file", 1, [*keys, *more])


def export(path: Path, *more: tuple[str, str, bytes]) -> Export:
    """The export of an imported directory."""
    return export_files(state_of(plan(path, b.directory_v7()), *more), NOW_MS)


def parsed(made: Export, name: str) -> Any:
    return msgspec.json.decode(made.files[name])


def test_there_and_back_again(tmp_path: Path) -> None:
    """Imported, exported and imported: the same state, but for messages that were skipped."""
    first = plan(tmp_path / "first", b.directory_v7())
    made = export_files(state_of(first), NOW_MS)
    second = plan(tmp_path / "second", dict(made.files))

    def comparable(of: Plan) -> dict[tuple[str, str], object]:
        found: dict[tuple[str, str], object] = {}
        for change in of.changes:
            value = msgspec.json.decode(change.value or b"")
            if change.key_type == "whatsmeow-session":
                value = _without_skipped(decode_buffer(value))
            if change.key_type == "pre-key":
                value = decode_buffer(value["private"])
            found[change.key_type, change.key_id] = value
        return found

    there, back = comparable(first), comparable(second)
    assert second.identity.creds == first.identity.creds
    assert {key: value for key, value in back.items() if key in there} == there
    assert {key for key in back if key not in there} == {("whatsmeow-sender-key", f"{b.GROUP}|{b.PEER}:3")}
    assert made.skipped_messages == 12
    assert second.report.left_behind == [one for one in second.report.left_behind if one.verdict == "not needed"]


def _without_skipped(record: bytes) -> object:
    found = msgspec.json.decode(record)
    for state in [found["SessionState"], *found["PreviousStates"]]:
        for chain in [state["SenderChain"], *state["ReceiverChains"]]:
            chain["MessageKeys"] = []
    return found


def test_creds_are_what_baileys_needs(tmp_path: Path) -> None:
    """Counters for the pre-keys it has, the newest app-state key, and none of whatsmeow's fields."""
    creds = parsed(export(tmp_path), "creds.json")

    assert (creds["nextPreKeyId"], creds["firstUnuploadedPreKeyId"]) == (9, 6)
    assert creds["myAppStateKeyId"] == "AAAA/wAB"
    assert creds["me"] == {"id": f"{b.USER}:1@s.whatsapp.net", "name": "Name", "lid": f"{b.LID}:1@lid"}
    assert creds["account"] == b.creds()["account"]
    assert set(b.creds()) - {"registered"} <= set(creds)
    assert "whatsmeow" not in creds


def test_sender_keys_of_others_are_found_by_number_too(tmp_path: Path) -> None:
    """Baileys looks for them by the group's name for its members; our own are there once, or their keys would be used twice."""
    own = [("lid-mapping", b.USER, f'"{b.LID}"'.encode()), ("lid-mapping", f"{b.LID}_reverse", f'"{b.USER}"'.encode())]
    made = export(tmp_path, *own)

    assert (
        made.files[f"sender-key-{b.GROUP}--{b.PEER}--3.json"]
        == made.files[f"sender-key-{b.GROUP}--{b.PEER_LID}_1--3.json"]
    )
    assert [name for name in made.files if name.startswith(f"sender-key-{b.OLD_GROUP}")] == [
        f"sender-key-{b.OLD_GROUP}--{b.LID}_1--1.json"
    ]


def test_tokens_get_their_index(tmp_path: Path) -> None:
    """Baileys prunes by it."""
    index = parsed(export(tmp_path), "tctoken-__index.json")

    assert msgspec.json.decode(decode_buffer(index["token"])) == [f"{b.PEER_LID}@lid"]


@pytest.mark.parametrize(
    ("key_type", "value", "verdict"),
    [
        ("whatsmeow-contact", b"{}", "not needed"),
        ("whatsmeow-nct-salt", b'"AAAA"', "not needed"),
        ("app-state-sync-version", b"{}", "not needed"),
        ("whatsmeow-session", b"null", "broken"),
        ("whatsmeow-session", b'"AAAA"', "broken"),
        ("whatsmeow-sender-key", b'{"x":1}', "broken"),
        ("pre-key", b"[]", "broken"),
        ("something-new", b"{}", "unknown"),
    ],
)
def test_what_stays_is_told(tmp_path: Path, key_type: str, value: bytes, verdict: str) -> None:
    """With the reason, and it keeps nothing else from being exported."""
    expected, made = export(tmp_path / "a"), export(tmp_path / "b", (key_type, "79000000009:0", value))

    assert [(one.name, one.verdict) for one in made.report.left_behind] == [(f"{key_type} 79000000009:0", verdict)]
    assert made.files.keys() == expected.files.keys()


def test_without_an_identity_there_is_nothing_to_export() -> None:
    """An error, and no directory in which Baileys would begin a new identity."""
    with pytest.raises(BaileysError, match="no credentials"):
        export_files(AuthState(COMPANY, None, None, 0, []), NOW_MS)


@pytest.mark.parametrize("creds", [b"{}", b"[]", b'{"me":{"id":"79000000001:1@s.whatsapp.net"}}'])
def test_a_broken_identity_is_not_exported(creds: bytes) -> None:
    """An error that names the company."""
    with pytest.raises(BaileysError, match=COMPANY):
        export_files(AuthState(COMPANY, creds, None, 0, []), NOW_MS)
