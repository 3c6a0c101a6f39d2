"""Sender keys of groups between Baileys and whatsmeow: nothing is lost either way."""

from __future__ import annotations

import hmac
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.baileys.sender_key import from_baileys, to_baileys
from storage.whatsmeow.codec import CodecError, decode_buffer
from tests.support import baileys as b

STATES = st.lists(
    st.builds(
        lambda number, own, skipped: b.group_state(number, own=own, skipped=tuple(skipped)),
        st.integers(0, 99),
        st.booleans(),
        st.lists(st.integers(0, 2**32 - 1), max_size=4),
    ),
    min_size=1,
    max_size=5,
    unique_by=lambda state: int(state["senderKeyId"]),
)


def converted(value: object) -> list[dict[str, Any]]:
    """Go's states."""
    found: list[dict[str, Any]] = msgspec.json.decode(from_baileys(value).record)["SenderKeyStates"]
    return found


@given(STATES)
def test_there_and_back(states: list[dict[str, Any]]) -> None:
    """Every state, its signing key and the keys of skipped messages come back as they were, in their order."""
    back = to_baileys(from_baileys(b.sender_key(*states)).record)

    assert msgspec.json.decode(decode_buffer(back)) == states


@pytest.mark.parametrize("outer", b.FORMS)
@pytest.mark.parametrize("inner", b.FORMS)
def test_every_form_gives_the_same_record(outer: str, inner: str) -> None:
    """JSON within a Buffer of any form, with Buffers of any form inside."""
    state = b.group_state(0, b.FORMS[inner], own=True)

    assert converted(b.sender_key(state, form=b.FORMS[outer])) == converted(b.sender_key(b.group_state(0, own=True)))


def test_baileys_66_wrote_the_states_as_they_are() -> None:
    """A plain array, not within a Buffer."""
    state = b.group_state(0, b.FORMS["numbers"])

    assert converted([state]) == converted(b.sender_key())


def test_the_newest_comes_first_in_go() -> None:
    """Baileys adds at the end and uses the last, Go adds in front and uses the first."""
    made = converted(b.sender_key(b.group_state(1), b.group_state(2)))

    assert [state["KeyID"] for state in made] == [1002, 1001]


def test_skipped_messages_are_derived_as_signal_does() -> None:
    """IV and cipher key are HKDF of the seed, computed here by hand; the seed goes along."""
    made = converted(b.sender_key(b.group_state(4, skipped=(9,))))[0]["Keys"]
    root = hmac.digest(bytes(32), b.secret("skipped", 4, 9), "sha256")
    first = hmac.digest(root, b"WhisperGroup\x01", "sha256")
    second = hmac.digest(root, first + b"WhisperGroup\x02", "sha256")
    derived = first + second

    assert made == [
        {
            "Iteration": 9,
            "IV": b.text(derived[:16]),
            "CipherKey": b.text(derived[16:48]),
            "Seed": b.text(b.secret("skipped", 4, 9)),
        }
    ]


def test_of_states_with_one_id_the_one_in_use_is_kept() -> None:
    """Baileys uses the first it finds, and so it has advanced; another would repeat or miss messages."""
    used, repeated = b.group_state(1), b.group_state(1)
    used["senderChainKey"]["iteration"] = 50

    (made,) = converted(b.sender_key(used, repeated))

    assert made["SenderChainKey"]["Iteration"] == 50


def test_only_the_newest_five_states_fit() -> None:
    """The oldest are counted as left out."""
    made = from_baileys(b.sender_key(*(b.group_state(number) for number in range(7))))

    assert made.left_out == 2
    assert [state["KeyID"] for state in msgspec.json.decode(made.record)["SenderKeyStates"]] == [
        1006,
        1005,
        1004,
        1003,
        1002,
    ]


def test_go_writes_a_private_key_of_zeros_for_others() -> None:
    """Baileys gets an empty one."""
    (state,) = converted(b.sender_key(b.group_state(0)))
    state["SigningKeyPrivate"] = b.text(bytes(32))

    back = to_baileys(msgspec.json.encode({"SenderKeyStates": [state]}))

    assert msgspec.json.decode(decode_buffer(back))[0]["senderSigningKey"]["private"] == b.BASE64(b"")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"senderKeyId": -1}, "senderKeyId"),
        ({"senderChainKey": {"iteration": 0, "seed": "AAAA"}}, "senderChainKey.seed: 3 bytes"),
        ({"senderChainKey": None}, "senderChainKey"),
        ({"senderSigningKey": {"public": "", "private": ""}}, "senderSigningKey.public"),
        ({"senderSigningKey": {"public": b.text(b.typed("x")), "private": b.text(b.secret("y"))}}, "does not belong"),
        ({"senderMessageKeys": [{"iteration": 0, "seed": ""}]}, "senderMessageKeys.seed"),
    ],
)
def test_what_is_wrong_is_said(change: dict[str, object], why: str) -> None:
    """The error has the field's name, never its value."""
    with pytest.raises(CodecError, match=why):
        from_baileys(b.sender_key({**b.group_state(0), **change}))


@pytest.mark.parametrize("value", [None, [], {}, "", "x", 5, b.BASE64(b"{"), b.BASE64(b"[]"), b.BASE64(b"[5]")])
def test_what_is_no_sender_key_is_refused(value: object) -> None:
    """It gives no record."""
    with pytest.raises(CodecError):
        from_baileys(value)
    with pytest.raises(CodecError):
        to_baileys(msgspec.json.encode(value))
