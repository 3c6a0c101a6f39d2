"""Signal sessions between Baileys and whatsmeow: what both hold comes back, and no value that would end the Go library gets through."""

from __future__ import annotations

import base64
import copy
import hmac
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.baileys.session import Own, from_baileys
from storage.baileys.session_export import to_baileys
from storage.whatsmeow.codec import CodecError
from storage.whatsmeow.rows import session_fault
from tests.support import baileys as b

OWN = Own(b.typed("own"), 77)
NOW = 1_700_000_000_000

ENTRIES = st.builds(
    lambda name, used, receiving, pending: b.entry(name, used=used, receiving=receiving, pending=pending),
    st.text("abc", min_size=1, max_size=3),
    st.integers(1, 10**12),
    st.integers(0, 8),
    st.booleans(),
)
RECORDS = st.builds(
    lambda one, closed: b.session(one, *({**old, "indexInfo": {**old["indexInfo"], "closed": 5}} for old in closed)),
    ENTRIES,
    st.lists(ENTRIES, max_size=4, unique_by=lambda entry: str(entry["indexInfo"]["baseKey"])),
)


def converted(record: object) -> dict[str, Any]:
    """Go's record, parsed."""
    return msgspec.json.decode(from_baileys(record, OWN).record, type=dict[str, Any])


def states(record: dict[str, Any]) -> list[dict[str, Any]]:
    return [record["SessionState"], *record["PreviousStates"]]


@given(RECORDS)
def test_what_is_made_is_safe_for_go(record: dict[str, Any]) -> None:
    """No record on which the Go library would end its process, nor one beyond its limits."""
    made = converted(record)

    assert session_fault(msgspec.json.encode(made)) is None
    assert len(made["PreviousStates"]) <= 40
    assert all(len(state["ReceiverChains"]) <= 5 for state in states(made))


@given(RECORDS)
def test_there_and_back(record: dict[str, Any]) -> None:
    """A record that went to whatsmeow and back is converted to the same record again, but for keys of messages that were skipped."""
    there = converted(record)
    back = to_baileys(msgspec.json.encode(there), NOW)
    again = converted(back.value)
    skipped = 0
    for state in states(there):
        for chain in [state["SenderChain"], *state["ReceiverChains"]]:
            skipped += len(chain["MessageKeys"])
            chain["MessageKeys"] = []

    assert again == there
    assert back.skipped_messages == skipped


@given(RECORDS, st.data())
def test_a_broken_record_is_refused_or_harmless(record: dict[str, Any], data: st.DataObject) -> None:
    """Whatever one value is replaced with: an error that says so, or a record that Go can use. Nothing else is ever raised."""
    broken = copy.deepcopy(record)
    parents = list(_containers(broken))
    parent = data.draw(st.sampled_from(parents))
    key = data.draw(st.sampled_from(list(parent)))
    parent[key] = data.draw(
        st.sampled_from([None, "", "AAAA", "not base64", -2, 1 << 40, 1.5, [], {}, True, {"type": "Buffer", "data": 5}])
    )
    try:
        made = from_baileys(broken, OWN)
    except CodecError:
        return
    assert session_fault(made.record) is None


def _containers(value: Any) -> Any:
    if isinstance(value, dict) and value:
        yield value
        for inner in value.values():
            yield from _containers(inner)


def test_counters_mean_the_next_message() -> None:
    """Baileys counts the last key used, from -1; Go the next one."""
    entry = b.entry(receiving=1)
    entry["currentRatchet"]["previousCounter"] = -1
    for chain in entry["_chains"].values():
        chain["chainKey"]["counter"] = -1

    made = converted(b.session(entry))["SessionState"]

    assert made["PreviousCounter"] == 0
    assert [made["SenderChain"]["ChainKey"]["Index"], made["ReceiverChains"][0]["ChainKey"]["Index"]] == [0, 0]


def test_skipped_messages_are_derived_as_signal_does() -> None:
    """Cipher key, MAC key and IV are HKDF of the seed, computed here by hand."""
    made = converted(b.session(b.entry(receiving=1)))["SessionState"]["ReceiverChains"][0]["MessageKeys"]
    root = hmac.digest(bytes(32), b.secret("one 0", 2), "sha256")
    first = hmac.digest(root, b"WhisperMessageKeys\x01", "sha256")
    second = hmac.digest(root, first + b"WhisperMessageKeys\x02", "sha256")
    third = hmac.digest(root, second + b"WhisperMessageKeys\x03", "sha256")

    assert [key["Index"] for key in made] == [0, 2]
    assert base64.b64decode(made[1]["CipherKey"]) == first
    assert base64.b64decode(made[1]["MacKey"]) == second
    assert base64.b64decode(made[1]["IV"]) == third[:16]


def test_the_open_session_is_the_one_in_use() -> None:
    """Archived ones follow, the last used first."""
    record = b.session(b.entry("older", closed=9, used=900), b.entry("open", used=1), b.entry("old", closed=9, used=10))

    made = converted(record)

    keys = [state["SenderBaseKey"] for state in states(made)]
    assert keys == [b.text(b.typed(name, "base")) for name in ("open", "older", "old")]


def test_only_the_newest_chains_fit() -> None:
    """Of eight receiving chains five are kept, the last ones, and the others are counted."""
    made = from_baileys(b.session(b.entry(receiving=8)), OWN)
    chains = msgspec.json.decode(made.record)["SessionState"]["ReceiverChains"]

    assert [chain["SenderRatchetKeyPublic"] for chain in chains] == [
        b.text(b.typed("one", "remote", number)) for number in range(3, 8)
    ]
    assert made.left_out == 3


def test_a_chain_that_was_left_has_no_key() -> None:
    """Baileys drops the key of a closed chain; Go needs one, which never advances, and going back it is dropped again."""
    there = converted(b.session(b.entry(receiving=2)))
    back = to_baileys(msgspec.json.encode(there), NOW).value

    assert there["SessionState"]["ReceiverChains"][0]["ChainKey"]["Key"] == b.text(bytes(32))
    (entry,) = back["_sessions"].values()
    assert "key" not in entry["_chains"][b.text(b.typed("one", "remote", 0))]["chainKey"]


def test_a_session_that_waits_for_its_first_answer() -> None:
    """Its pre-key is kept, also one without a number, so that the peer can still begin the session."""
    with_key = b.entry(pending=True, receiving=0)
    without = copy.deepcopy(with_key)
    del without["pendingPreKey"]["preKeyId"]

    made = converted(b.session(with_key))["SessionState"]["PendingPreKey"]
    bare = converted(b.session(without))

    assert made == {
        "PreKeyID": {"Value": 12, "IsEmpty": False}, "SignedPreKeyID": 3, "BaseKey": b.text(b.typed("one", "base")),
    }  # fmt: skip
    assert bare["SessionState"]["PendingPreKey"]["PreKeyID"] == {"Value": 0, "IsEmpty": True}
    (entry,) = to_baileys(msgspec.json.encode(bare), NOW).value["_sessions"].values()
    assert entry["pendingPreKey"] == {"signedKeyId": 3, "baseKey": b.text(b.typed("one", "base"))}
    assert entry["indexInfo"]["baseKeyType"] == 1


def test_a_record_before_version_1() -> None:
    """The registration id stood beside the sessions then."""
    entry = b.entry()
    del entry["registrationId"]
    record = {"_sessions": {"x": entry}, "registrationId": 99}

    assert converted(record)["SessionState"]["RemoteRegistrationID"] == 99


def test_a_record_kept_as_bytes() -> None:
    """Some stores keep the record as a Buffer of its JSON."""
    record = b.session()

    assert converted(b.BASE64(msgspec.json.encode(record))) == converted(record)


def test_a_broken_archived_session_stays_behind() -> None:
    """It must not cost the session in use."""
    old = b.entry("old", closed=5)
    old["currentRatchet"]["rootKey"] = "AAAA"

    made = from_baileys(b.session(b.entry(), old), OWN)

    assert made.left_out == 1
    assert msgspec.json.decode(made.record)["PreviousStates"] == []


@pytest.mark.parametrize(
    ("path", "value", "why"),
    [
        (("currentRatchet", "rootKey"), "AAAA", "rootKey: 3 bytes where 32 were expected"),
        (("currentRatchet", "ephemeralKeyPair", "privKey"), b.text(b.secret("other")), "does not belong"),
        (("indexInfo", "baseKey"), "", "baseKey"),
        (("indexInfo", "remoteIdentityKey"), b.text(b"\x05" + bytes(32)), "low order"),
        (("indexInfo", "remoteIdentityKey"), b.text(b"\x06" + bytes(31) + b"\x09"), "no public key"),
        (("registrationId",), None, "registrationId"),
        (("_chains",), {}, "the sending chain is missing"),
    ],
)
def test_what_is_wrong_with_the_session_in_use_is_said(path: tuple[str, ...], value: object, why: str) -> None:
    """The error has the field's name, never its value."""
    entry = b.entry()
    inner = entry
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value

    with pytest.raises(CodecError, match=why):
        from_baileys(b.session(entry), OWN)


@pytest.mark.parametrize("record", [None, [], {}, "x", {"_sessions": {}}, {"_sessions": {"a": {}}, "version": "v2"}])
def test_what_is_no_record_is_refused(record: object) -> None:
    """It gives no record."""
    with pytest.raises(CodecError):
        from_baileys(record, OWN)
    with pytest.raises(CodecError):
        to_baileys(msgspec.json.encode(record), NOW)


def test_a_counter_that_ran_below_zero_in_go() -> None:
    """Go's unsigned counter wraps when no message was sent on a chain; Baileys would wait for 4 billion messages."""
    there = converted(b.session())
    there["SessionState"]["PreviousCounter"] = 2**32 - 1

    (entry,) = to_baileys(msgspec.json.encode(there), NOW).value["_sessions"].values()

    assert entry["currentRatchet"]["previousCounter"] == 0
