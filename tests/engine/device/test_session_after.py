"""What a session's row holds after a write, case by case: the table of docs/adr/0011-what-the-library-would-lose.md."""

from __future__ import annotations

import json

import pytest

from actors.engine.device.session_guard import session_after
from tests.engine.sessions import Session, chain, session, state

START = session(state("b", chain("s", 3), chain("r", 5)))
SENT = session(state("b", chain("s", 4), chain("r", 5)))
RECEIVED = session(state("b", chain("s", 3), chain("r", 6)))
BOTH = session(state("b", chain("s", 4), chain("r", 6)))
TURNED = session(state("b", chain("t", 0), chain("r", 5), chain("q", 1)))
OURS = session(state("ours", chain("x", 1), pending=True))
THEIRS = session(state("theirs", chain("s", 0), chain("r", 1)))
REPLACED = session(state("c", chain("x", 0)), START["SessionState"])


def compact(value: Session) -> bytes:
    """As the library writes it."""
    return json.dumps(value, separators=(",", ":")).encode()


def without_index(value: Session) -> Session:
    """A record whose sending chain does not say how far it is."""
    current = value["SessionState"]
    return {**value, "SessionState": {**current, "SenderChain": {**current["SenderChain"], "ChainKey": {}}}}


@pytest.mark.parametrize(
    ("old", "new", "after"),
    [
        pytest.param(START, SENT, SENT, id="a send"),
        pytest.param(START, RECEIVED, RECEIVED, id="a receive"),
        pytest.param(START, TURNED, TURNED, id="a receive with a new ratchet key"),
        pytest.param(START, REPLACED, REPLACED, id="a new session that keeps the one before"),
        pytest.param(SENT, RECEIVED, BOTH, id="a receive over a send's step"),
        pytest.param(RECEIVED, SENT, BOTH, id="a send over a receive's step"),
        pytest.param(SENT, TURNED, TURNED, id="a receive with a new ratchet key over a send's step"),
        pytest.param(TURNED, SENT, None, id="a send with a chain that was replaced"),
        pytest.param(SENT, SENT, None, id="a send with the same key"),
        pytest.param(SENT, START, None, id="a send with an earlier key"),
        pytest.param(REPLACED, SENT, None, id="a step of the session before"),
        pytest.param(THEIRS, OURS, None, id="a session begun here over the peer's"),
        pytest.param(
            OURS, THEIRS, session(THEIRS["SessionState"], OURS["SessionState"]), id="the peer's over one begun here"
        ),
        pytest.param(without_index(START), without_index(START), without_index(START), id="chains without numbers"),
    ],
)
def test_a_write_becomes_what_the_table_says(old: Session, new: Session, after: Session | None) -> None:
    """Written as it is, merged with the row, or refused (None)."""
    assert session_after(compact(old), compact(new)) == (None if after is None else compact(after))


def test_an_answered_pre_key_stays_answered() -> None:
    """A send that began before the first answer came would make the pre-key pending again."""
    sent = session(state("b", chain("s", 4), chain("r", 5), pending=True))

    assert session_after(compact(RECEIVED), compact(sent)) == compact(BOTH)


def test_earlier_sessions_stay_as_they_were_when_one_is_taken_up_again() -> None:
    """The wrong step of the session tried in vain is dropped, the session taken up is no longer listed, an unknown one stays."""
    first, second, third, unknown = (state(base, chain(base, 1), chain(f"{base}r", 1)) for base in ("a", "b", "c", "d"))
    stepped = state("a", chain("a2", 0), chain("ar", 1), chain("wrong", 0))
    fits = state("b", chain("b", 1), chain("br", 2))

    after = session_after(
        compact(session(first, second, third)), compact(session(fits, stepped, second, third, unknown))
    )

    assert after == compact(session(fits, first, third, unknown))


@pytest.mark.parametrize(
    "odd",
    [b"", b"\x01\x02", b'{"SessionState":', b'"\xff"', b"[" * 100_000, b"[]", b"3", b"{}", b'{"SessionState":null}'],
    ids=["nothing", "binary", "cut off", "not UTF-8", "deep", "array", "number", "empty", "no state"],
)
def test_what_is_no_record_of_a_session_is_written_as_it_is(odd: bytes) -> None:
    """Neither in the row nor in the write."""
    assert session_after(odd, compact(START)) == compact(START)
    assert session_after(compact(START), odd) == odd


@pytest.mark.parametrize("field", ["SenderChain", "ReceiverChains", "SenderBaseKey", "PendingPreKey"])
@pytest.mark.parametrize("odd", [None, 7, "text", [], {}, [None], {"ChainKey": {"Index": "4"}}])
def test_odd_parts_of_a_record_are_compared_like_others(field: str, odd: object) -> None:
    """Whatever a part is, the result is defined: the same record over itself is written or refused, never an error."""
    record = compact({"SessionState": {**START["SessionState"], field: odd}, "PreviousStates": odd})

    assert session_after(record, record) in {record, None}
