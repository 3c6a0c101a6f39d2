"""whatsmeow's rows as keys and creds, and back: nothing is lost on the way."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.whatsmeow import app_state
from storage.whatsmeow import rows as wm
from storage.whatsmeow.codec import CodecError
from storage.whatsmeow.creds import DEVICE_COLUMNS, creds_from_device, device_from_creds, public_key
from storage.whatsmeow.text import join_id, split_id

JID = "79000000001:1@s.whatsapp.net"

# Text as SQLite gives it: any UTF-8, NUL included, and bytes that are no UTF-8 as surrogates.
TEXT = st.text(
    st.characters(exclude_categories=["Cs"]) | st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF), max_size=20
).filter(lambda text: text == text.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape"))
OPTIONAL_TEXT = st.none() | TEXT
INT64 = st.integers(0, 2**63 - 1)
KEY32 = st.binary(min_size=32, max_size=32)
ADDRESS = st.builds(
    "{}{}:{}".format, st.integers(10**9, 10**15), st.sampled_from(["", "_1", "_128"]), st.integers(0, 99)
)
FLAG = st.integers(0, 1)

KEYS: dict[str, st.SearchStrategy[tuple[Any, ...]]] = {
    "pre-key": st.tuples(st.integers(0, 2**24 - 1)),
    "identity-key": st.tuples(ADDRESS),
    "whatsmeow-session": st.tuples(ADDRESS),
    "whatsmeow-sender-key": st.tuples(TEXT, ADDRESS),
    "app-state-sync-key": st.tuples(st.binary(max_size=12)),
    "tctoken": st.tuples(TEXT.filter(lambda text: text != "__index")),
    "whatsmeow-contact": st.tuples(TEXT),
    "whatsmeow-chat-settings": st.tuples(TEXT),
    "whatsmeow-nct-salt": st.tuples(),
}
VALUES: dict[str, st.SearchStrategy[tuple[Any, ...]]] = {
    "pre-key": st.tuples(KEY32, FLAG),
    "identity-key": st.tuples(KEY32),
    "whatsmeow-session": st.tuples(st.none() | st.binary(max_size=60)),
    "whatsmeow-sender-key": st.tuples(st.binary(max_size=60)),
    "app-state-sync-key": st.tuples(st.binary(max_size=40), INT64, st.binary(max_size=20)),
    "tctoken": st.tuples(st.binary(max_size=40), INT64, st.none() | INT64),
    "whatsmeow-contact": st.tuples(*[OPTIONAL_TEXT] * 5),
    "whatsmeow-chat-settings": st.tuples(INT64, FLAG, FLAG),
    "whatsmeow-nct-salt": st.tuples(st.binary(max_size=40)),
}

DEVICE = st.fixed_dictionaries(
    {
        "jid": TEXT.filter(bool), "lid": OPTIONAL_TEXT, "facebook_uuid": OPTIONAL_TEXT, "registration_id": st.integers(0, 2**32 - 1),
        "noise_key": KEY32, "identity_key": KEY32, "signed_pre_key": KEY32, "signed_pre_key_id": st.integers(0, 2**24 - 1),
        "signed_pre_key_sig": st.binary(min_size=64, max_size=64), "adv_key": st.binary(max_size=40), "adv_details": st.binary(max_size=40),
        "adv_account_sig": st.binary(min_size=64, max_size=64), "adv_account_sig_key": KEY32,
        "adv_device_sig": st.binary(min_size=64, max_size=64), "platform": TEXT, "business_name": TEXT, "push_name": TEXT,
        "lid_migration_ts": INT64, "companion_meta_nonce": TEXT,
    }
)  # fmt: skip


def storable(text: str) -> bool:
    """Whether Postgres takes the text into a TEXT or JSONB value."""
    return "\x00" not in text and "\\u0000" not in text.lower() and text.encode("utf-8", "strict") is not None


@pytest.mark.parametrize("key_type", list(wm.KINDS))
@settings(max_examples=40)
@given(data=st.data())
def test_a_row_comes_back_identical(key_type: str, data: st.DataObject) -> None:
    """Row to key and back gives the same row, for every type, and a key that Postgres takes."""
    kind = wm.KINDS[key_type]
    parts, values = data.draw(KEYS[key_type]), data.draw(VALUES[key_type])

    key_id, value = wm.key_id(kind, parts), wm.encode_value(kind, values)

    assert storable(key_id)
    assert storable(value.decode())
    assert wm.rows_of(JID, key_type, key_id, value) == [
        (
            kind.table,
            {
                kind.owner: JID,
                **dict(zip(kind.key, parts, strict=True)),
                **dict(zip(kind.columns, values, strict=True)),
            },
        )
    ]


@settings(max_examples=60)
@given(DEVICE)
def test_a_device_comes_back_identical(row: dict[str, Any]) -> None:
    """Device row to creds and back gives the same row, and creds that Postgres takes."""
    creds = creds_from_device(row)

    assert storable(creds.decode())
    assert device_from_creds(creds) == row
    assert set(row) == set(DEVICE_COLUMNS)


@settings(max_examples=60)
@given(
    st.binary(min_size=128, max_size=128),
    INT64,
    st.lists(st.tuples(INT64, KEY32, KEY32), max_size=6, unique_by=lambda row: row[:2]),
)
def test_an_app_state_version_comes_back_identical(
    hash_: bytes, version: int, macs: list[tuple[int, bytes, bytes]]
) -> None:
    """A version with all its mutation MACs, several of one index included, is one key and comes back row by row."""
    value = app_state.encode_rows((version, hash_), macs)

    rows = wm.rows_of(JID, wm.APP_STATE_VERSION, "regular_low", value)

    assert rows[0] == (
        "whatsmeow_app_state_version",
        {"jid": JID, "name": "regular_low", "version": version, "hash": hash_},
    )
    assert sorted((row["version"], row["index_mac"], row["value_mac"]) for _, row in rows[1:]) == sorted(macs)


@settings(max_examples=60)
@given(st.lists(TEXT, min_size=1, max_size=3))
def test_key_ids_are_split_as_they_were_joined(parts: list[str]) -> None:
    """Ids of several texts are unambiguous, whatever a peer puts into a message id."""
    assert split_id(join_id(tuple(parts)), len(parts)) == tuple(parts)


def test_ordinary_ids_are_written_as_baileys_writes_them() -> None:
    """JIDs, Signal addresses and base64 ids come out unchanged, so one table serves both."""
    ids = [
        wm.key_id(wm.KINDS["identity-key"], ("79000000001_1:12",)),
        wm.key_id(wm.KINDS["pre-key"], (7,)),
        wm.key_id(wm.KINDS["tctoken"], ("100000000000001@lid",)),
        wm.key_id(wm.KINDS["app-state-sync-key"], (b"\x00\x00\xff\xff",)),
    ]

    assert ids == ["79000000001_1.12", "7", "100000000000001@lid", "AAD//w=="]


def test_a_pre_key_has_baileys_shape() -> None:
    """Both halves as Buffers, the public one computed from the private one; ``uploaded`` beside them."""
    private = bytes(range(32))

    value = json.loads(wm.encode_value(wm.KINDS["pre-key"], (private, 1)))

    assert value == {
        "private": {"type": "Buffer", "data": base64.b64encode(private).decode()},
        "public": {"type": "Buffer", "data": base64.b64encode(public_key(private)).decode()},
        "uploaded": True,
    }


def test_a_sync_key_has_baileys_shape() -> None:
    """The fingerprint is readable JSON; its bytes are repeated only when they are not what the JSON gives."""
    canonical = bytes.fromhex("08b96010001a020001")

    value = json.loads(wm.encode_value(wm.KINDS["app-state-sync-key"], (b"key", 1795227239000, canonical)))

    assert value == {
        "keyData": "a2V5",
        "fingerprint": {"rawId": 12345, "currentIndex": 0, "deviceIndexes": [0, 1]},
        "timestamp": "1795227239000",
    }


@pytest.mark.parametrize(
    ("key_id", "value"),
    [("79000000001", '"100000000000001"'), ("100000000000001_reverse", '"79000000001"')],
    ids=["pn to lid", "lid to pn"],
)
def test_both_directions_of_a_lid_mapping_are_one_row(key_id: str, value: str) -> None:
    """Either key alone rebuilds the row."""
    assert wm.rows_of(JID, "lid-mapping", key_id, value.encode()) == [
        (wm.LID_TABLE, {"lid": "100000000000001", "pn": "79000000001"})
    ]


@pytest.mark.parametrize("key_type", ["session", "sender-key", "sender-key-memory", "device-list", "something-new"])
def test_types_whatsmeow_has_no_use_for_give_no_rows(key_type: str) -> None:
    """Types that only Baileys needs stay in Postgres and out of the device file."""
    assert wm.rows_of(JID, key_type, "79000000001.0", b'{"any":"thing"}') == []


def test_baileys_index_of_tokens_gives_no_row() -> None:
    """Baileys keeps a list of its tctokens among them, under a name that is no JID."""
    assert wm.rows_of(JID, "tctoken", "__index", b'{"token":{"type":"Buffer","data":"W10="}}') == []


@pytest.mark.parametrize(
    ("key_type", "key_id", "value"),
    [
        ("pre-key", "7", b'{"private":{"type":"Buffer","data":"AAA="}}'),
        ("pre-key", "seven", b'{"private":{"type":"Buffer","data":"AAA="}}'),
        ("pre-key", "7", b'{"public":1}'),
        ("identity-key", "79000000001.0", b'{"type":"Buffer","data":"AAA="}'),
        ("app-state-sync-key", "AAAA", b"{}"),
        ("app-state-sync-version", "regular", b"7"),
        ("lid-mapping", "79000000001", b"null"),
        ("whatsmeow-contact", "79000000001@s.whatsapp.net", b"{}"),
        ("whatsmeow-sender-key", "no separator", b'{"type":"Buffer","data":"AAA="}'),
        ("pre-key", "7", b"{"),
    ],
)
def test_a_broken_value_is_refused(key_type: str, key_id: str, value: bytes) -> None:
    """A value in no known form is an error that names no secret, never a row on which Go would fail."""
    with pytest.raises(CodecError):
        wm.rows_of(JID, key_type, key_id, value)


def baileys_creds() -> dict[str, Any]:
    """Creds as Baileys 6 writes them: no ``whatsmeow`` part, no account signature key."""

    def buffer(data: bytes) -> dict[str, str]:
        return {"type": "Buffer", "data": base64.b64encode(data).decode()}

    def pair(octet: int) -> dict[str, Any]:
        return {"private": buffer(bytes([octet]) * 32), "public": buffer(public_key(bytes([octet]) * 32))}

    return {
        "noiseKey": pair(1),
        "signedIdentityKey": pair(2),
        "signedPreKey": {"keyPair": pair(3), "signature": buffer(b"s" * 64), "keyId": 1},
        "registrationId": 42,
        "advSecretKey": base64.b64encode(b"a" * 32).decode(),
        "me": {"id": JID, "name": "Name"},
        "account": {
            "details": base64.b64encode(b"details").decode(),
            "accountSignature": base64.b64encode(b"x" * 64).decode(),
            "deviceSignature": base64.b64encode(b"y" * 64).decode(),
        },
        "signalIdentities": [
            {"identifier": {"name": JID, "deviceId": 0}, "identifierKey": buffer(b"\x05" + b"k" * 32)}
        ],
        "platform": "android",
    }


def test_creds_of_baileys_become_a_device() -> None:
    """Creds without our extra fields are enough, and the signature key comes from the signal identity."""
    row = device_from_creds(json.dumps(baileys_creds()).encode())

    assert (row["jid"], row["lid"], row["push_name"], row["noise_key"]) == (JID, None, "Name", b"\x01" * 32)
    assert row["adv_account_sig_key"] == b"k" * 32
    assert (row["business_name"], row["lid_migration_ts"]) == ("", 0)


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        (("noiseKey",), None, "noiseKey"),
        (("noiseKey", "private"), "AAAA", "noiseKey.private"),
        (("me",), {}, "me.id"),
        (("registrationId",), "42", "registrationId"),
        (("account",), 7, "account"),
        (("account", "accountSignature"), "AAAA", "account.accountSignature"),
        (("signedPreKey", "keyId"), None, "signedPreKey.keyId"),
        (("signalIdentities",), [], "signalIdentities"),
    ],
)
def test_creds_that_cannot_be_used_name_the_field(path: tuple[str, ...], value: object, named: str) -> None:
    """Broken creds are an error that says where, never a new identity."""
    creds = baileys_creds()
    place = creds
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value

    with pytest.raises(CodecError, match=named.replace(".", r"\.")):
        device_from_creds(json.dumps(creds).encode())


GOOD_STATE = {"SenderBaseKey": "AAAA", "SenderChain": {"ChainKey": {}}, "PreviousCounter": 0}


@pytest.mark.parametrize(
    ("record", "sound"),
    [
        ({"SessionState": GOOD_STATE, "PreviousStates": [GOOD_STATE]}, True),
        ({"SessionState": GOOD_STATE, "PreviousStates": None}, True),
        ({"SessionState": None}, False),
        ({"SessionState": {**GOOD_STATE, "SenderChain": None}}, False),
        ({"SessionState": {**GOOD_STATE, "SenderBaseKey": ""}}, False),
        ({"SessionState": {**GOOD_STATE, "PreviousCounter": -1}}, False),
        ({"SessionState": GOOD_STATE, "PreviousStates": [{**GOOD_STATE, "SenderChain": None}]}, False),
        ([], False),
    ],
)
def test_a_session_go_would_crash_on_is_found(record: object, *, sound: bool) -> None:
    """Sessions that are known to end the whole process are detected before the row is written."""
    assert (wm.session_fault(json.dumps(record).encode()) is None) == sound
