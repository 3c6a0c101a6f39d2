"""Disconnects, from whatsmeow's log and from its events."""

from __future__ import annotations

from typing import Any

import pytest

from actors.engine.whatsmeow.disconnects import Closing, Hint, closing_from_log, closing_from_login_status, is_fatal
from actors.engine.whatsmeow.events import decode
from actors.engine.whatsmeow.library import Library

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


def closing(library: Library, number: int, **fields: Any) -> Any:
    """The end that an event of the library is read as."""
    kinds = {2: "PairStatus", 6: "LoggedOut", 7: "StreamReplaced", 8: "TemporaryBan", 9: "ConnectFailure", 10: "ClientOutdated",
             11: "StreamError", 12: "Disconnected"}  # fmt: skip
    event = getattr(library.protobufs, kinds[number])(**fields)
    return decode(library.protobufs, number, event.SerializePartialToString())


def test_events_tell_the_same_endings(library: Library) -> None:
    """An end that has an event is read from it too, so that neither way is the only one."""
    node = library.protobufs.Node(Tag="x")

    found = [
        closing(library, 6, OnConnect=True, Reason=5),
        closing(library, 7),
        closing(library, 8, Code=1, Expire=60),
        closing(library, 9, Reason=7, Message="", Raw=node),
        closing(library, 10),
        closing(library, 11, Code="516", Raw=node),
        closing(library, 12, status=True),
    ]

    assert [(one.kind, one.code, one.expires_in_s) for one in found] == [
        ("logged_out", 406, None), ("replaced", 0, None), ("temporary_ban", 402, 60.0), ("connect_failure", 409, None),
        ("outdated", 405, None), ("stream_error", 516, None), ("disconnected", 0, None),
    ]  # fmt: skip


def test_a_failed_pairing_is_an_ending(library: Library) -> None:
    """With the library's reason."""
    jid = library.protobufs.JID(User="1", RawAgent=0, Device=0, Integrator=0, Server="s.whatsapp.net", IsEmpty=False)

    found = closing(library, 2, ID=jid, BusinessName="", Platform="", Status=1, Error="invalid device identity HMAC")

    assert found == Closing("pairing_failed", text="pairing failed: invalid device identity HMAC")


@pytest.mark.parametrize(("status", "used_up", "kind"), [
    ("success", False, None), ("err-client-outdated", False, "outdated"), ("timeout", True, "pairing_failed"),
    ("timeout", False, "pairing_failed"), ("error", False, "pairing_failed"), ("err-unexpected-state", False, "pairing_failed"),
    ("err-scanned-without-multidevice", False, None),
])  # fmt: skip
def test_the_end_of_an_offer(status: str, kind: str | None, *, used_up: bool) -> None:
    """Every word with which the library ends an offer has a meaning."""
    found = closing_from_login_status(status, used_up=used_up)

    assert (found.kind if found else None) == kind


def test_a_lost_socket_is_not_called_a_missing_scan() -> None:
    """The library says `timeout` to both; the text says which it was."""
    lost, unscanned = (closing_from_login_status("timeout", used_up=used_up) for used_up in (False, True))

    assert lost is not None
    assert unscanned is not None
    assert "connection was lost" in lost.text
    assert "no phone scanned" in unscanned.text


@pytest.mark.parametrize(
    ("known", "new", "kept"),
    [
        (Closing("disconnected"), Closing("stream_error", 500), "new"),
        (Closing("stream_error", 500), Closing("disconnected"), "known"),
        (Closing("connect_failure"), Closing("connect_failure", 411), "new"),
        (Closing("logged_out", 401), Closing("replaced"), "known"),
        (Closing("temporary_ban", 402), Closing("temporary_ban", 402, expires_in_s=60), "new"),
        (Closing("connect_failure", 0, "a proto error"), Closing("temporary_ban", 402), "new"),
    ],
)
def test_the_more_telling_report_is_kept(known: Closing, new: Closing, kept: str) -> None:
    """Several reports about one end come in any order."""
    assert known.or_better(new) is (new if kept == "new" else known)
