"""Which steps of a session the record need not get, and that the record's state goes on beyond every key that may have been used."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest

from actors.engine.device.journal import Batch
from actors.engine.device.reservations import AHEAD, SESSION, Reservations, step_ahead
from tests.engine.conftest import BuildFile
from tests.engine.rows import JID, PEER, put_session

ROOT = b"k" * 32


def key_at(index: int, start: bytes = ROOT) -> bytes:
    """The chain key after so many steps, as the Signal protocol has it."""
    for _ in range(index):
        start = hmac.new(start, b"\x02", hashlib.sha256).digest()
    return start


def session(index: int, *, ratchet: str = "s", received: int = 0) -> bytes:
    """A record as the library writes it."""
    sending: dict[str, Any] = {
        "SenderRatchetKeyPublic": ratchet,
        "SenderRatchetKeyPrivate": "p",
        "ChainKey": {"Key": base64.b64encode(key_at(index)).decode(), "Index": index},
        "MessageKeys": [],
    }
    state = {"ReceiverChains": [{"ChainKey": {"Index": received}}], "SenderBaseKey": "b", "SenderChain": sending}
    return json.dumps({"SessionState": state, "PreviousStates": []}, separators=(",", ":")).encode()


def value(record: bytes) -> bytes:
    """The record as the journal's batch has it."""
    return json.dumps({"type": "Buffer", "data": base64.b64encode(record).decode()}).encode()


def shipped(reservations: Reservations, *records: bytes) -> list[bytes]:
    """What the record receives for these states of one session, one after another."""
    told: list[bytes] = []
    for record in records:
        batch = Batch(1, changes=[(SESSION, PEER, value(record))])
        reservations.note(reservations.reserve(batch))
        for _, _, changed in batch.changes:
            assert changed is not None
            told.append(base64.b64decode(json.loads(changed)["data"]))
    return told


def test_the_record_is_told_a_state_some_steps_ahead() -> None:
    """The same record, its sending chain stepped as the library would step it."""
    assert shipped(Reservations(), session(5)) == [session(5 + AHEAD)]


def test_steps_up_to_it_are_not_told() -> None:
    """The last step that needs no shipping is the one after which the record's own state would be the next."""
    reservations = Reservations()
    shipped(reservations, session(5))

    assert shipped(reservations, session(6), session(5 + AHEAD)) == []
    assert shipped(reservations, session(6 + AHEAD)) == [session(6 + 2 * AHEAD)]


@pytest.mark.parametrize("changed", [session(6, received=1), session(6, ratchet="t"), session(0, ratchet="t")])
def test_everything_else_is_told(changed: bytes) -> None:
    """A receive, and a new sending chain: reported, and ahead again."""
    reservations = Reservations()
    shipped(reservations, session(5))

    assert len(shipped(reservations, changed)) == 1


def test_what_was_only_looked_at_reserves_nothing() -> None:
    """A batch that was never sent does not affect the next one."""
    reservations = Reservations()
    reservations.reserve(Batch(1, changes=[(SESSION, PEER, value(session(5)))]))

    assert shipped(reservations, session(6)) == [session(6 + AHEAD)]


def test_forgotten_reservations_are_made_again() -> None:
    """Only so many sessions are remembered."""
    reservations = Reservations(kept=1)
    shipped(reservations, session(5))
    reservations.note(reservations.reserve(Batch(1, changes=[(SESSION, "other", value(session(1)))])))

    assert len(shipped(reservations, session(6))) == 1


@pytest.mark.parametrize(
    "change",
    [
        (SESSION, PEER, None),
        (SESSION, PEER, b"null"),
        (SESSION, PEER, value(b"{}")),
        (SESSION, PEER, value(b'{"SessionState":{"SenderChain":{"ChainKey":{"Key":"AA==","Index":"1"}}}}')),
        ("identity-key", PEER, value(session(5))),
    ],
)
def test_what_is_no_session_with_a_chain_is_told_as_it_is(change: tuple[str, str, bytes | None]) -> None:
    """Deleted, empty, of another kind or in another form."""
    batch = Batch(1, changes=[change])

    assert Reservations().reserve(batch) == {}
    assert batch.changes == [change]


def test_a_file_is_put_ahead_as_a_whole(build_file: BuildFile) -> None:
    """Every session; other values stay as they are."""
    connection = build_file()._connection
    put_session(connection, PEER, session(5))
    put_session(connection, "other", session(7, ratchet="o"))
    put_session(connection, "broken", b"{}")

    step_ahead(connection)

    rows = connection.execute(
        "SELECT their_id, session FROM whatsmeow_sessions WHERE our_jid = ? ORDER BY rowid", (JID,)
    )
    assert rows == [(PEER, session(5 + AHEAD)), ("other", session(7 + AHEAD, ratchet="o")), ("broken", b"{}")]


def test_another_boot_puts_a_file_ahead_once(build_file: BuildFile) -> None:
    """Taken up on the same boot it is not changed."""
    file = build_file()
    put_session(file._connection, PEER, session(5))

    for boot in ("one", "one", "other", "other"):
        file.survive(boot)

    (row,) = file._connection.execute("SELECT session FROM whatsmeow_sessions")
    assert row == (session(5 + 2 * AHEAD),)
