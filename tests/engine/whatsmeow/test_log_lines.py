"""What the lines of whatsmeow's log say."""

from __future__ import annotations

import pytest

from actors.engine.whatsmeow.disconnects import Closing, Hint
from actors.engine.whatsmeow.log_lines import (
    Passed,
    acknowledged_message,
    arriving_message,
    closing_from_log,
    is_fatal,
    is_receipt_leaving,
    passed_from_log,
)

LOG: list[tuple[str, str, int, float | None]] = [
    ("Got replaced stream error, sending StreamReplaced event", "replaced", 0, None),
    ("Client outdated (405) connect failure (client version: 2.3000.1)", "outdated", 405, None),
    ("Got device removed stream error, sending LoggedOut event and deleting session", "logged_out", 401, None),
    (
        "Got 401: logged out from another device connect failure, sending LoggedOut event and deleting session",
        "logged_out",
        401,
        None,
    ),
    (
        "Got 403: primary device was logged out connect failure, sending LoggedOut event and deleting session",
        "logged_out",
        403,
        None,
    ),
    (
        "Got 406: logged out for unknown reason connect failure, sending LoggedOut event and deleting session",
        "logged_out",
        406,
        None,
    ),
    ('Temporary ban connect failure: <failure code="101" expire="3600" reason="402"/>', "temporary_ban", 402, 3600),
    ('Unknown connect failure: <failure location="x" reason="411"/>', "connect_failure", 411, None),
    ('Unknown stream error: <stream:error code="500"/>', "stream_error", 500, None),
    ("Unknown stream error: <stream:error><xml-not-well-formed/></stream:error>", "stream_error", 0, None),
    ("Failed to reconnect after 515 code: failed to dial", "stream_error", 515, None),
    ("Got 413/cat-expired connect failure, refreshing CAT before reconnecting...", "connect_failure", 413, None),
    ("Got 414/ connect failure, refreshing CAT before reconnecting...", "connect_failure", 414, None),
]


@pytest.mark.parametrize(("line", "kind", "code", "expires"), LOG)
def test_the_log_tells_every_ending(line: str, kind: str, code: int, expires: float | None) -> None:
    """Kind, code and expiry are read from whatsmeow's own sentence."""
    found = closing_from_log(line)

    assert isinstance(found, Closing)
    assert (found.kind, found.code, found.expires_in_s) == (kind, code, expires)


@pytest.mark.parametrize(("line", "code"), [
    ("Got 503/ connect failure, assuming automatic reconnect will handle it", 503),
    ("Got 500/internal connect failure, assuming automatic reconnect will handle it", 500),
    ("Got 503 stream error, assuming automatic reconnect will handle it", 503),
])  # fmt: skip
def test_some_lines_only_announce_why_the_socket_will_close(line: str, code: int) -> None:
    """The end itself follows as a disconnect without a code."""
    found = closing_from_log(line)

    assert isinstance(found, Hint)
    assert found.code == code


@pytest.mark.parametrize(
    "line", ["Successfully authenticated", "Got 515 code, reconnecting...", "Keepalive timed out", "", "Got nothing"]
)
def test_other_lines_say_nothing(line: str) -> None:
    """Least of all the restart inside linking."""
    assert closing_from_log(line) is None


def test_only_the_refusals_go_cannot_survive_are_fatal() -> None:
    """413 and 414 make whatsmeow call a function that is not set."""
    fatal = [line for line, *_ in LOG if is_fatal(line)]

    assert [line[:7] for line in fatal] == ["Got 413", "Got 414"]


def test_the_librarys_words_for_a_used_key() -> None:
    """Of a chat with one person, of a group, and of another kind."""
    direct = (
        "Ignoring message 3EB0AA from 100000000000001:1@lid in 100000000000001@lid: failed to decrypt normal message: "
        "failed to get or create message keys: received message with old counter (index: 2, count: 1)"
    )
    group = (
        "Ignoring message 3EB0BB from 100000000000001:1@lid in 120363000000000001@g.us: failed to decrypt group message: "
        "received message with old counter: current 5, received 4"
    )

    assert passed_from_log(direct) == Passed("3EB0AA", "100000000000001:1@lid", "100000000000001@lid", 2, 1)
    assert passed_from_log(group) == Passed("3EB0BB", "100000000000001:1@lid", "120363000000000001@g.us", None, None)
    assert passed_from_log("Ignoring message 3EB0CC from 1@lid: event was already processed") is None


@pytest.mark.parametrize(
    ("logger", "text", "message_id"),
    [
        ("Client/Recv", '<message from="1@lid" id="3EB0AA" t="1"><enc/></message>', "3EB0AA"),
        ("Client/Send", '<message id="3EB0AA" to="1@lid"/>', None),
        ("Client/Recv", '<receipt id="3EB0AA" from="1@lid"/>', None),
        ("Client/Recv", '<notification id="3EB0AA"><message/></notification>', None),
    ],
)
def test_only_a_received_message_arrives(logger: str, text: str, message_id: str | None) -> None:
    """Neither a message that leaves nor a node of another kind is one."""
    assert arriving_message(logger, text) == message_id


@pytest.mark.parametrize(
    ("text", "message_id"),
    [
        ('<receipt id="3EB0AA" to="1@lid"/>', "3EB0AA"),
        ('<ack class="message" id="3EB0AA" to="1@lid"/>', "3EB0AA"),
        ('<ack class="notification" id="3EB0AA" to="1@lid"/>', None),
    ],
)
def test_a_leaving_receipt_names_the_message_it_acknowledges(text: str, message_id: str | None) -> None:
    """An acknowledgement of anything else is a receipt that names no message."""
    assert is_receipt_leaving("Client/Send", text)
    assert acknowledged_message(text) == message_id
