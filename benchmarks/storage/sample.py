"""A company with a given number of keys, in two forms: as a directory of real Baileys, and as the auth state that wasup imports from it."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from storage.baileys.directory import read_directory
from storage.baileys.importing import plan_import
from storage.baileys.names import CREDS_FILE, parse_name
from storage.database.pool import Database
from storage.tables import auth_state, leases
from storage.tables.auth_state import Delta, KeyChange
from tests.support import baileys

T = TypeVar("T")

LEAST_KEYS: Final = 100
OWNER: Final = "bench/1"
_PRE_KEYS: Final = 30
_SYNC_KEYS: Final = 3
_CONTACTS_FROM: Final = 100
_GROUP_SHARE: Final = 8
"""One key in this many is a sender key in a group."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The same keys in both forms."""

    directory: Path
    """The directory with the keys as files."""
    creds: bytes
    changes: tuple[KeyChange, ...]

    @property
    def files(self) -> list[Path]:
        """Return the files, one for each key, without the credentials."""
        return sorted(path for path in self.directory.iterdir() if path.name != CREDS_FILE)

    def keys_of(self, files: Sequence[Path]) -> dict[str, list[str]]:
        """Return the key ids of these files, by type, as Baileys is asked for them."""
        found: dict[str, list[str]] = {}
        for path in files:
            named = parse_name(path.name)
            assert named is not None, path.name
            found.setdefault(named[0], []).append(named[1])
        return found

    def describe(self) -> str:
        """Return a text: how many keys, and their size in either form."""
        stored = sum(len(change.value or b"") for change in self.changes) / len(self.changes)
        files = self.files
        written = sum(path.stat().st_size for path in files) / len(files)
        return f"{len(self.changes)} keys: {stored:.0f} bytes a value in wasup, {written:.0f} bytes a file of Baileys"

    async def store(self, database: Database, company_id: str) -> None:
        """Store it as the auth state of a company whose lease is `OWNER`'s."""
        lease = await database.write(leases.acquire, company_id, OWNER, 3600.0)
        delta = Delta(company_id, OWNER, lease.epoch, "file", 1, self.creds, self.changes, base=True)
        (result,) = await database.write(auth_state.commit_deltas, [delta])
        assert result.error is None, result.error


def some(of: Sequence[T], number: int) -> Sequence[T]:
    """Return ``number`` of the items, evenly spread."""
    return [of[at * len(of) // number] for at in range(number)]


def make_sample(directory: Path, keys: int) -> Sample:
    """Write the directory and import it. There are as many files as keys, besides ``creds.json``."""
    path = baileys.write(directory, _files(keys))
    plan = plan_import(read_directory(path), (path / CREDS_FILE).stat().st_mtime)
    assert len(plan.changes) == keys, plan.report
    assert not plan.report.left, plan.report
    return Sample(path, plan.identity.creds, plan.changes)


def _files(keys: int) -> dict[str, Any]:
    groups = keys // _GROUP_SHARE
    contacts = (keys - groups - _PRE_KEYS - _SYNC_KEYS - 1) // 4
    pre_keys = keys - groups - 4 * contacts - _SYNC_KEYS - 1
    files: dict[str, Any] = {CREDS_FILE: {**baileys.creds(), "nextPreKeyId": pre_keys + 1}}
    files[f"identity-key-{baileys.LID}_1.0.json"] = baileys.BASE64(baileys.typed("phone"))
    for number in range(1, pre_keys + 1):
        keys_ = baileys.pair("pre-key", number)
        files[f"pre-key-{number}.json"] = {
            "private": baileys.BASE64(keys_.private),
            "public": baileys.BASE64(keys_.public),
        }
    for number in range(_SYNC_KEYS):
        files[f"app-state-sync-key-AAAA{number:04d}.json"] = _sync_key(number)
    for number in range(contacts):
        files |= _contact(number)
    for number in range(groups):
        name = f"sender-key-12036300000000{number // 20:04d}@g.us--{200000000000000 + number}_1--3.json"
        files[name] = baileys.sender_key(baileys.group_state(number))
    return files


def _contact(number: int) -> dict[str, Any]:
    phone, lid = f"{79000000000 + _CONTACTS_FROM + number}", f"{200000000000000 + number}"
    return {
        f"session-{lid}_1.0.json": baileys.session(baileys.entry(f"contact {number}")),
        f"identity-key-{lid}_1.0.json": baileys.BASE64(baileys.typed(f"contact {number}", "remote identity")),
        f"lid-mapping-{phone}.json": lid,
        f"lid-mapping-{lid}_reverse.json": phone,
    }


def _sync_key(number: int) -> dict[str, Any]:
    return {
        "keyData": baileys.BASE64(baileys.secret("app state", number)),
        "fingerprint": {"rawId": 9, "currentIndex": 1, "deviceIndexes": [0, 1]},
        "timestamp": "1700000000000",
    }


def from_buffers(found: dict[str, Any]) -> Any:
    """Decode a Buffer in a file of Baileys: an object hook for `json.loads`."""
    return base64.b64decode(found["data"]) if found.get("type") == "Buffer" else found


def decode_file(data: bytes) -> Any:
    """Decode a file of Baileys as a Python program would."""
    return json.loads(data, object_hook=from_buffers)
