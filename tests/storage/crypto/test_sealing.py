"""storage/crypto/sealing.py and storage/crypto/master_key.py: values that open, and all that do not."""

from __future__ import annotations

import base64
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.crypto.master_key import MasterKeys
from storage.crypto.sealing import AUTH_TABLE, KEYS_TABLE, DataKey, StoredDataKey, Vault, claims_to_be_sealed, is_sealed
from storage.errors import BrokenSeal, MasterKeyError, UnknownMasterKey
from tests.support.master_keys import key_id, vault, write_keys

A, B = "962302", "962303"
PLACE = (KEYS_TABLE, "session", "79000000001.0")
VALUE = b'{"n": 1}'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "master.key"


def data_key(company_id: str = A, data_key_id: str = "0011223344556677", *, all_sealed: bool = True) -> DataKey:
    return DataKey(company_id, data_key_id, bytes(range(32)), all_sealed=all_sealed)


@given(value=st.binary(max_size=300), key_type=st.text(max_size=20), key_id=st.text(max_size=40))
def test_what_was_sealed_opens_at_its_place(value: bytes, key_type: str, key_id: str) -> None:
    """Any value, any name: it comes back as it was, and its stored form is the JSON that PostgreSQL gives back unchanged."""
    key = data_key()

    stored = key.seal(KEYS_TABLE, key_type, key_id, value)

    assert key.open(KEYS_TABLE, key_type, key_id, stored) == value
    assert is_sealed(stored)
    assert claims_to_be_sealed(stored)
    (member,) = msgspec.json.decode(stored, type=dict[str, str]).items()
    assert stored == b'{"%s": "%s"}' % (member[0].encode(), member[1].encode())


def test_two_seals_of_one_value_differ() -> None:
    """Each has a nonce of its own."""
    key = data_key()

    assert len({key.seal(*PLACE, VALUE) for _ in range(100)}) == 100


@pytest.mark.parametrize(
    "place",
    [
        (AUTH_TABLE, "session", "79000000001.0"),
        (KEYS_TABLE, "sender-key", "79000000001.0"),
        (KEYS_TABLE, "session", "79000000002.0"),
        (KEYS_TABLE, "session\0" + "79000000001.0", ""),
    ],
    ids=["another table", "another type", "another id", "shifted border"],
)
def test_x5_a_moved_value_does_not_open(place: tuple[str, str, str]) -> None:
    """It belongs to its table, type and id."""
    key = data_key()

    with pytest.raises(BrokenSeal, match="moved here"):
        key.open(*place, key.seal(*PLACE, VALUE))


@pytest.mark.parametrize(
    ("company_id", "data_key_id"),
    [(B, "0011223344556677"), (A, "7766554433221100")],
    ids=["another company", "another data key"],
)
def test_a_value_of_another_key_does_not_open(company_id: str, data_key_id: str) -> None:
    """Even under the same secret: company and data key are part of the authenticated data."""
    stored = data_key().seal(*PLACE, VALUE)
    moved = stored.replace(b"0011223344556677", data_key_id.encode())

    with pytest.raises(BrokenSeal):
        data_key(company_id, data_key_id).open(*PLACE, moved)
    with pytest.raises(BrokenSeal):
        data_key(company_id, data_key_id).open(*PLACE, stored)


def test_x5_every_flipped_bit_is_noticed() -> None:
    """In the nonce, the ciphertext or the tag; a bit of the JSON text likewise."""
    key = data_key()
    stored = key.seal(*PLACE, VALUE)
    encoded = stored.rpartition(b".")[2][:-2]
    sealed = base64.b64decode(encoded)

    for bit in range(8 * len(sealed)):
        flipped = bytearray(sealed)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BrokenSeal):
            key.open(*PLACE, stored.replace(encoded, base64.b64encode(flipped)))
    for place in range(len(stored)):
        text = bytearray(stored)
        text[place] ^= 1
        changed = bytes(text)
        with pytest.raises(BrokenSeal):
            key.open(*PLACE, changed)


def test_x5_every_truncation_is_noticed() -> None:
    """Cut anywhere, down to an empty member."""
    key = data_key()
    head, _, encoded = key.seal(*PLACE, VALUE)[:-2].rpartition(b".")

    for length in range(len(encoded)):
        with pytest.raises(BrokenSeal):
            key.open(*PLACE, head + b"." + encoded[:length] + b'"}')


def test_plain_values_pass_only_while_there_may_be_some() -> None:
    """A company from before encryption has plain values until they are sealed; from then on one is a forgery."""
    assert data_key(all_sealed=False).open(*PLACE, VALUE) == VALUE
    with pytest.raises(BrokenSeal, match="it is plain, where every value is sealed"):
        data_key(all_sealed=True).open(*PLACE, VALUE)


def test_errors_name_no_key() -> None:
    """The error says company and type; the id of a key may be a phone number."""
    with pytest.raises(BrokenSeal) as caught:
        data_key().open(*PLACE, b'{"wasupSealed": "hunter2"}')

    assert A in str(caught.value)
    assert "session" in str(caught.value)
    assert "7900" not in str(caught.value)
    assert "hunter2" not in str(caught.value)


# --- data keys under master keys ---


def test_a_data_key_is_unlocked_by_its_master_key(file: Path) -> None:
    """A value that one vault sealed opens in another with the same master key."""
    stored, key = vault(file, 1).make(A, all_sealed=True)

    again = Vault(MasterKeys(file)).unlock(stored)

    assert stored.kek_id == key_id(1)
    assert again.open(*PLACE, key.seal(*PLACE, VALUE)) == VALUE
    assert again.all_sealed


def change(stored: StoredDataKey, what: str) -> StoredDataKey:
    """The row with one thing changed."""
    flipped = bytes([stored.wrapped[0] ^ 1]) + stored.wrapped[1:]
    changes: dict[str, object] = {
        "company_id": B, "data_key_id": "0" * 16, "all_sealed": not stored.all_sealed, "kek_id": key_id(2),
    }  # fmt: skip
    if what in changes:
        return msgspec.structs.replace(stored, **{what: changes[what]})
    return msgspec.structs.replace(stored, wrapped={"flipped": flipped, "cut": stored.wrapped[:-1], "empty": b""}[what])


@pytest.mark.parametrize("what", ["company_id", "data_key_id", "all_sealed", "kek_id", "flipped", "cut", "empty"])
def test_a_changed_data_key_is_noticed(file: Path, what: str) -> None:
    """Moved to another company, its flag changed, its master key renamed, its bytes changed: it is never used as a key."""
    vault_ = vault(file, 1, 2)
    stored, _ = vault_.make(A, all_sealed=True)

    with pytest.raises(BrokenSeal, match="its data key"):
        vault_.unlock(change(stored, what))


def test_x5_an_unknown_master_key_is_named(file: Path) -> None:
    """The error names the missing one and the present ones; without any it says so."""
    stored, _ = vault(file, 1).make(A, all_sealed=True)

    with pytest.raises(UnknownMasterKey, match=f"master key {key_id(1)}; the configured ones are {key_id(2)}"):
        vault(file, 2).unlock(stored)
    with pytest.raises(UnknownMasterKey, match=f"master key {key_id(1)}; none is configured"):
        Vault().unlock(stored)


def test_a_rewrapped_data_key_is_the_same_key(file: Path) -> None:
    """Values are not touched; the old master key opens it no more."""
    both = vault(file, 2, 1)
    old = vault(file.with_name("old"), 1)
    assert both.master_keys is not None
    stored, key = old.make(A, all_sealed=False)

    rewrapped = both.rewrap(stored, both.master_keys.current(), all_sealed=True)

    assert both.unlock(rewrapped).open(*PLACE, key.seal(*PLACE, VALUE)) == VALUE
    assert (rewrapped.kek_id, rewrapped.all_sealed) == (key_id(2), True)
    with pytest.raises(UnknownMasterKey):
        old.unlock(rewrapped)


def test_the_key_file_is_followed(file: Path) -> None:
    """A new key in the file is used at once for new values, and found when a value is wrapped by it."""
    running = vault(file, 1)
    write_keys(file, 2, 1)

    stored, _ = running.make(A, all_sealed=True)
    assert stored.kek_id == key_id(2)

    write_keys(file, 3, 2)
    later, _ = vault(file.with_name("elsewhere"), 3).make(B, all_sealed=True)
    running.unlock(later)


def test_a_key_file_that_is_lost_later_does_not_stop_a_daemon(file: Path) -> None:
    """The keys read last are kept; at the start it is an error."""
    running = vault(file, 1)
    file.unlink()

    stored, _ = running.make(A, all_sealed=True)

    assert stored.kek_id == key_id(1)
    with pytest.raises(MasterKeyError, match=r"master\.key cannot be read \(No such file"):
        MasterKeys(file)
