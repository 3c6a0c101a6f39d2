"""A session that is written by a send and a receive at the same moment keeps both steps."""

from __future__ import annotations

import json

import pytest

from actors.engine.device.session_guard import STALE
from actors.engine.device.sqlite import Connection
from actors.engine.errors import SqliteError
from tests.engine.conftest import BuildFile
from tests.engine.rows import JID, PEER, put_session
from tests.engine.sessions import Session, chain, session, state


@pytest.fixture
def connection(build_file: BuildFile) -> Connection:
    """A linked device file's connection."""
    return build_file()._connection


def write(connection: Connection, *values: Session) -> Session:
    """The row's value after these writes."""
    for value in values:
        put_session(connection, session=json.dumps(value).encode())
    found = connection.scalar("SELECT session FROM whatsmeow_sessions WHERE our_jid = ? AND their_id = ?", (JID, PEER))
    assert isinstance(found, bytes)
    written: Session = json.loads(found)
    return written


START = session(state("b", chain("s", 3), chain("r", 5)))
SENT = session(state("b", chain("s", 4), chain("r", 5)))
RECEIVED = session(state("b", chain("s", 3), chain("r", 6)))
BOTH = session(state("b", chain("s", 4), chain("r", 6)))
TURNED = session(state("b", chain("t", 0), chain("r", 5), chain("q", 1)))
"""The peer had a new ratchet key, so there is a new chain to send with."""


@pytest.mark.parametrize("value", [SENT, RECEIVED, TURNED, session(state("c", chain("s", 0)), START["SessionState"])])
def test_an_ordinary_step_is_written_as_it_is(connection: Connection, value: Session) -> None:
    """A send, a receive, a receive with a new ratchet key, a new session that keeps the old one: none is changed."""
    assert write(connection, START, value) == value


@pytest.mark.parametrize(("first", "second"), [(SENT, RECEIVED), (RECEIVED, SENT)])
def test_a_send_and_a_receive_at_once_are_put_together(connection: Connection, first: Session, second: Session) -> None:
    """Both began with the same state; whichever is written last, neither key is used again."""
    assert write(connection, START, first, second) == BOTH


def test_a_pre_key_that_was_answered_stays_answered(connection: Connection) -> None:
    """A send that began before the first answer came must not bring the pending pre-key back."""
    pending = session(state("b", chain("s", 3), chain("r", 5), pending=True))
    sent = session(state("b", chain("s", 4), chain("r", 5), pending=True))

    assert write(connection, pending, RECEIVED, sent) == BOTH


def test_a_receive_that_turns_the_ratchet_stands_above_a_send(connection: Connection) -> None:
    """The send's chain is never used again, so nothing of it has to be kept."""
    assert write(connection, START, SENT, TURNED) == TURNED


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (SENT, SENT),
        (session(state("b", chain("s", 5), chain("r", 5))), SENT),
        (TURNED, SENT),
        (session(state("c", chain("x", 0)), START["SessionState"]), SENT),
        (START, session(state("ours", chain("x", 1), pending=True))),
    ],
    ids=[
        "the same key twice",
        "an earlier key again",
        "a chain that was replaced",
        "a session that was replaced",
        "a session begun while the peer's came in",
    ],
)
def test_what_cannot_be_put_together_is_refused(connection: Connection, first: Session, second: Session) -> None:
    """The write fails, the row stays, and the error says what the engine looks for."""
    write(connection, *([START] if first == START else [START, first]))
    with pytest.raises(SqliteError, match=STALE):
        write(connection, second)

    found = connection.scalar("SELECT session FROM whatsmeow_sessions")
    assert isinstance(found, bytes)
    assert json.loads(found) == first


def test_two_sessions_that_began_at_once_are_both_kept(connection: Connection) -> None:
    """The peer's session arrives after a send began one: it is the current session, and the answer to the send can still be read."""
    ours = session(state("ours", chain("x", 1), pending=True))
    theirs = session(state("theirs", chain("s", 0), chain("r", 1)))

    assert write(connection, ours, theirs) == session(theirs["SessionState"], ours["SessionState"])


def test_sessions_that_did_not_fit_stay_as_they_were(connection: Connection) -> None:
    """The library steps all of them until one fits, and would keep the wrong steps; the one that fits is listed once."""
    first, second, third = (state(base, chain(f"{base}s", 1), chain(f"{base}r", 1)) for base in ("a", "b", "c"))
    stepped = state("a", chain("as2", 0), chain("ar", 1), chain("wrong", 0))
    fits = state("b", chain("bs", 1), chain("br", 2))
    written = session(fits, stepped, second, third)

    assert write(connection, session(first, second, third), written) == session(fits, first, third)


def test_a_step_that_was_put_together_is_journalled(connection: Connection, build_file: BuildFile) -> None:
    """Postgres gets the value in the file, not the one that was given to be written."""
    file = build_file()
    write(file._connection, START, SENT, RECEIVED)

    batch = file.journal.read(0)
    assert batch is not None
    assert len(batch.changes) == 1
    value = json.loads(batch.changes[0][2] or b"")
    found = file._connection.scalar("SELECT session FROM whatsmeow_sessions")
    assert isinstance(found, bytes)
    assert json.loads(found) == BOTH
    assert value["type"] == "Buffer"


def test_a_value_that_is_no_json_is_none_of_the_guards_business(connection: Connection) -> None:
    """The guard never makes the library fail on a value that it can read."""
    put_session(connection, session=b"\x01\x02")
    put_session(connection, session=b"\x03")

    assert connection.scalar("SELECT session FROM whatsmeow_sessions") == b"\x03"
