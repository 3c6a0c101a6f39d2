"""A Baileys directory as auth state: all that can be used, a report of what cannot, and an identity that is whole or an error."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from storage.baileys.directory import BaileysError, read_directory
from storage.baileys.importing import Plan, plan_import
from storage.whatsmeow.codec import CodecError, decode_buffer
from storage.whatsmeow.creds import device_from_creds
from storage.whatsmeow.rows import rows_of
from tests.support import baileys as b

DAY_S = 86_400.0


def plan(tmp_path: Path, files: dict[str, Any], **ages: Any) -> Plan:
    """The plan for a directory of these files."""
    return plan_import(read_directory(b.write(tmp_path / "auth", files, **ages)), time.time())


def value_of(made: Plan, key_type: str, key_id: str) -> Any:
    (found,) = [change.value for change in made.changes if (change.key_type, change.key_id) == (key_type, key_id)]
    assert found is not None
    return msgspec.json.decode(found)


def ids(made: Plan, key_type: str) -> list[str]:
    return [change.key_id for change in made.changes if change.key_type == key_type]


def left(made: Plan) -> dict[str, tuple[str, str]]:
    return {one.name: (one.verdict, one.reason) for one in made.report.left_behind}


def test_a_directory_of_baileys_7(tmp_path: Path) -> None:
    """Every type is imported, or left out with its reason; addresses become whatsmeow's."""
    made = plan(tmp_path, b.directory_v7())

    assert made.report.generation == "v7"
    assert ids(made, "whatsmeow-session") == [f"{b.PEER_LID}_1:0", f"{b.PEER_LID}_1:3", f"{b.PEER}:3"]
    assert ids(made, "whatsmeow-sender-key") == [
        f"{b.GROUP}|{b.PEER_LID}_1:3", f"{b.OLD_GROUP}|{b.LID}_1:1", f"status@broadcast|{b.PEER}:0",
    ]  # fmt: skip
    assert ids(made, "app-state-sync-key") == ["AAAA/wAB"]
    assert ids(made, "lid-mapping") == [b.PEER_LID + "_reverse", b.PEER] or ids(made, "lid-mapping") == [
        b.PEER, b.PEER_LID + "_reverse",
    ]  # fmt: skip
    assert ids(made, "tctoken") == [f"{b.PEER_LID}@lid"]
    assert dict(made.report.moved) == {
        "creds": 1, "pre-key": 4, "session": 3, "sender-key": 3, "app-state-sync-key": 1, "lid-mapping": 2, "tctoken": 1,
        "identity-key": 4,
    }  # fmt: skip
    assert {name: verdict for name, (verdict, _) in left(made).items()} == {
        f"sender-key-memory-{b.GROUP}.json": "not needed", "app-state-sync-version-regular_low.json": "not needed",
        f"device-list-{b.PEER}.json": "not needed", "tctoken-__index.json": "not needed",
    }  # fmt: skip
    assert (made.report.ambiguous, made.report.warnings) == ([], [])


@pytest.mark.parametrize("form", b.FORMS)
def test_every_form_of_bytes_gives_the_same_state(tmp_path: Path, form: str) -> None:
    """At any depth, in every file."""
    expected = plan(tmp_path / "expected", b.directory_v7())
    made = plan(tmp_path / "made", b.directory_v7(b.FORMS[form]))

    assert made.identity.creds == expected.identity.creds
    assert made.changes == expected.changes


def test_every_value_fits_the_device_file(tmp_path: Path) -> None:
    """Each key becomes rows of whatsmeow's tables."""
    made = plan(tmp_path, b.directory_v7())

    for change in made.changes:
        assert change.value is not None
        assert rows_of(made.identity.jid, change.key_type, change.key_id, change.value)


def test_the_device_is_the_same(tmp_path: Path) -> None:
    """Keys, signatures and names of the creds, in whatsmeow's columns."""
    row = device_from_creds(plan(tmp_path, b.directory_v7()).identity.creds)

    assert (row["jid"], row["lid"], row["registration_id"]) == (f"{b.USER}:1@s.whatsapp.net", f"{b.LID}:1@lid", 77)
    assert row["noise_key"] == b.pair("one", "noise").private
    assert row["identity_key"] == b.pair("one", "identity").private
    assert row["adv_account_sig_key"] == b.pair("one", "account").public
    assert (row["push_name"], row["platform"]) == ("Name", "android")


def test_identity_keys(tmp_path: Path) -> None:
    """Those with which the sessions began, the newer one where there is a file, and the phone's own."""
    made = plan(tmp_path, b.directory_v7())

    def key(key_id: str) -> bytes:
        return decode_buffer(value_of(made, "identity-key", key_id))

    assert key(f"{b.PEER_LID}_1.0") == b.typed("phone", "remote identity")
    assert key(f"{b.PEER_LID}_1.3") == b.typed("newer identity")
    assert key(f"{b.LID}_1.0") == b.typed("one", "account")


def test_pre_keys_are_uploaded_below_the_first_that_is_not(tmp_path: Path) -> None:
    """Baileys notes one number; whatsmeow a flag for each."""
    made = plan(tmp_path, b.directory_v7())

    flags = {key_id: value_of(made, "pre-key", key_id)["uploaded"] for key_id in ids(made, "pre-key")}
    assert flags == {"2": True, "4": True, "6": False, "8": False}


def test_numbers_of_used_pre_keys_do_not_come_again(tmp_path: Path) -> None:
    """whatsmeow counts on from the highest it has: where Baileys' last one was used up, a filler keeps its number."""
    files = {**b.directory_v7()}
    del files["pre-key-8.json"]

    made = plan(tmp_path, files)

    assert ids(made, "pre-key") == ["2", "4", "6", "8"]
    assert value_of(made, "pre-key", "8")["uploaded"] is True
    assert made.report.moved["pre-key"] == 3


def test_lid_mappings_older_than_seven_days_stay(tmp_path: Path) -> None:
    """By the time their file was written; they still tell which number belongs to which LID."""
    old = [f"lid-mapping-{b.PEER}.json", f"lid-mapping-{b.PEER_LID}_reverse.json"]

    made = plan(tmp_path, b.directory_v7(), ages=dict.fromkeys(old, 7 * DAY_S + 60))

    assert ids(made, "lid-mapping") == []
    assert [left(made)[name][0] for name in old] == ["expired", "expired"]


def test_one_fresh_direction_of_a_mapping_is_enough(tmp_path: Path) -> None:
    """Both directions are stored."""
    made = plan(tmp_path, b.directory_v7(), ages={f"lid-mapping-{b.PEER}.json": 8 * DAY_S})

    assert sorted(ids(made, "lid-mapping")) == sorted([b.PEER, b.PEER_LID + "_reverse"])


def test_mappings_that_contradict_each_other(tmp_path: Path) -> None:
    """The one written last is used: no number and no LID is stored twice."""
    stale = "lid-mapping-79000000009.json"

    made = plan(tmp_path, {**b.directory_v7(), stale: b.PEER_LID}, ages={stale: 2 * DAY_S})

    assert left(made)[stale][0] == "contradicted"
    assert value_of(made, "lid-mapping", b.PEER_LID + "_reverse") == b.PEER


def test_a_directory_of_baileys_6(tmp_path: Path) -> None:
    """No domain in the addresses: a phone number is one, and fifteen digits that are none are a LID; the guess is reported."""
    made = plan(tmp_path, b.directory_v6())

    assert made.report.generation == "v6"
    assert ids(made, "whatsmeow-session") == [f"{b.PEER_LID}_1:3", f"{b.PEER}:0"]
    assert ids(made, "whatsmeow-sender-key") == [f"{b.GROUP}|{b.PEER}:3"]
    assert [(one.name, one.taken_as) for one in made.report.ambiguous] == [(f"session-{b.PEER_LID}.3.json", "lid")]
    assert decode_buffer(value_of(made, "identity-key", f"{b.USER}.0")) == b.typed("one", "account")


def test_a_short_number_that_is_none_is_taken_as_one(tmp_path: Path) -> None:
    """Too short for a LID: guessed, and reported."""
    made = plan(tmp_path, {**b.directory_v6(), "session-12345.0.json": b.session(b.entry("short"))})

    assert "12345:0" in ids(made, "whatsmeow-session")
    assert ("session-12345.0.json", "pn") in [(one.name, one.taken_as) for one in made.report.ambiguous]


@pytest.mark.parametrize(
    ("name", "value", "verdict", "why"),
    [
        ("session-79000000005.0.json", b"", "broken", "not JSON"),
        ("session-79000000005.0.json", b'{"_sessions":{"a"', "broken", "not JSON"),
        ("session-79000000005.0.json", b"\xff\xfe", "broken", "not JSON"),
        ("session-79000000005.0.json", b"[" * 100_000, "broken", "not JSON"),
        ("session-79000000005_7.0.json", b.session(), "broken", "unknown domain 7"),
        ("session-79000000005.0.json", {"_sessions": {}}, "broken", "holds no session"),
        ("pre-key-0.json", {"private": "x", "public": "y"}, "broken", "from 1 to"),
        ("pre-key-3.json", {"private": b.BASE64(b"x" * 32), "public": b.BASE64(b"y" * 32)}, "broken", "does not belong"),
        ("pre-key-3.json", {"private": b.BASE64(b"x")}, "broken", "private: 1 bytes"),
        ("pre-key-3.json", [], "broken", "another shape"),
        ("app-state-sync-key-AAAA.json", {"keyData": "AAAA"}, "broken", "keyData"),
        ("identity-key-79000000005.0.json", b.BASE64(b"x"), "broken", "identity key"),
        ("lid-mapping-79000000005.json", {"a": 1}, "broken", "digits"),
        ("sender-key-1@g.us--79000000005--0.json", b.BASE64(b"[]"), "broken", "no key yet"),
        ("tctoken-1@lid.json", {"token": b.BASE64(b"")}, "not needed", "used up"),
        ("notes.txt", b"x", "unknown", "not a name"),
        ("pre-key-x.json", b"x", "unknown", "not a name"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_left_and_told(tmp_path: Path, name: str, value: object, verdict: str, why: str) -> None:
    """One bad file affects only itself."""
    expected = plan(tmp_path / "without", b.directory_v7())
    made = plan(tmp_path / "with", {**b.directory_v7(), name: value})

    assert left(made)[name][0] == verdict
    assert why in left(made)[name][1]
    assert len(made.changes) == len(expected.changes)


def test_what_is_no_file_is_told(tmp_path: Path) -> None:
    """Directories, links and pipes are not followed, and reading does not wait for them."""
    path = b.write(tmp_path / "auth", b.directory_v7())
    (path / "inner").mkdir()
    (path / "pre-key-90.json").symlink_to(path / "pre-key-2.json")

    made = plan_import(read_directory(path), time.time())

    assert {name: verdict for name, (verdict, _) in left(made).items() if verdict == "unreadable"} == {
        "inner": "unreadable",
        "pre-key-90.json": "unreadable",
    }
    assert "90" not in ids(made, "pre-key")


def broken_creds() -> dict[str, tuple[object, str]]:
    """Ways in which ``creds.json`` cannot be used, and the error of each."""
    whole = b.creds()
    mixed = b.creds(device="two")
    return {
        "empty": (b"", "not JSON"),
        "torn": (json.dumps(whole).encode()[:400], "not JSON"),
        "deep": (b'{"me":' * 100_000, "not JSON"),
        "null": (b"null", "not an object"),
        "not linked": ({**whole, "me": None}, "no linked device"),
        "half linked": ({name: value for name, value in whole.items() if name != "account"}, "no linked device"),
        "another's identity": ({**whole, "signedIdentityKey": mixed["signedIdentityKey"]}, "signedPreKey"),
        "keys of two pairs": (
            {**whole, "noiseKey": {**whole["noiseKey"], "public": mixed["noiseKey"]["public"]}}, "noiseKey: the public key",
        ),
        "short key": ({**whole, "noiseKey": {"private": b.BASE64(b"x"), "public": b.BASE64(b"y")}}, "noiseKey"),
        "no registration": ({**whole, "registrationId": None}, "registrationId"),
        "no counter": ({**whole, "nextPreKeyId": "9"}, "nextPreKeyId"),
        "a strange address": ({**whole, "me": {"id": "somebody"}}, "address"),
    }  # fmt: skip


@pytest.mark.parametrize("how", broken_creds())
def test_creds_are_whole_or_nothing_moves(tmp_path: Path, how: str) -> None:
    """Where Baileys would silently begin a new identity, an import ends with the reason."""
    value, why = broken_creds()[how]

    with pytest.raises(BaileysError, match=why):
        plan(tmp_path, {**b.directory_v7(), "creds.json": value})


def test_creds_that_are_not_there(tmp_path: Path) -> None:
    """Without them there is nothing to import."""
    files = {name: value for name, value in b.directory_v7().items() if name != "creds.json"}

    with pytest.raises(BaileysError, match="it is not there"):
        plan(tmp_path, files)


def test_signatures_of_the_phone_are_checked(tmp_path: Path) -> None:
    """Baileys never does; a bad one is a warning, for it only matters to peers."""
    creds = b.creds()
    creds["account"]["accountSignature"] = b.text(bytes(64))

    made = plan(tmp_path, {**b.directory_v7(), "creds.json": creds})

    assert len(made.report.warnings) == 1
    assert "phone's signature" in made.report.warnings[0]


def test_creds_without_the_account_key(tmp_path: Path) -> None:
    """Baileys leaves it out at times; the phone's signal identity has it."""
    creds = b.creds()
    del creds["account"]["accountSignatureKey"]

    made = plan(tmp_path, {**b.directory_v7(), "creds.json": creds})

    assert made.identity.account_key == b.pair("one", "account").public
    assert made.report.warnings == []


def test_errors_hold_no_values(tmp_path: Path) -> None:
    """Errors about a broken file never quote its content."""
    files = {
        **b.directory_v7(),
        "session-79000000005.0.json": b.session({**b.entry("sec"), "registrationId": "s3cret"}),
    }

    made = plan(tmp_path, files)

    assert "s3cret" not in repr(left(made))


def test_a_plan_is_the_same_every_time(tmp_path: Path) -> None:
    """So that an interrupted import can go on."""
    path = b.write(tmp_path / "auth", b.directory_v7())

    first, second = (plan_import(read_directory(path), time.time()) for _ in range(2))

    assert (first.changes, first.digest, first.identity) == (second.changes, second.digest, second.identity)


def test_the_digest_is_of_names_and_contents(tmp_path: Path) -> None:
    """One byte elsewhere, or under another name, is another directory."""
    base = {"a": b"1", "b": b"2"}
    digests = {
        read_directory(b.write(tmp_path / str(number), files)).digest
        for number, files in enumerate([base, {"a": b"1", "b": b"3"}, {"a": b"12", "b": b""}, {"a": b"1", "c": b"2"}])
    }

    assert len(digests) == 4
    assert read_directory(b.write(tmp_path / "again", base)).digest in digests


@pytest.mark.parametrize("kind", ["missing", "a file"])
def test_what_is_no_directory(tmp_path: Path, kind: str) -> None:
    """The error says so, with the path."""
    path = tmp_path / "auth"
    if kind == "a file":
        path.write_text("x")

    with pytest.raises(BaileysError, match=str(path)):
        read_directory(path)


def test_bad_forms_of_bytes_are_an_error() -> None:
    """The codec refuses bytes in none of the forms."""
    with pytest.raises(CodecError):
        decode_buffer({"type": "Buffer", "data": 5})
