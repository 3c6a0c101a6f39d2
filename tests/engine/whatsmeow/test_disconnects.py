"""Disconnects, from the events of whatsmeow."""

from __future__ import annotations

from typing import Any

import pytest

from actors.engine.whatsmeow.disconnects import Closing
from actors.engine.whatsmeow.events import decode
from actors.engine.whatsmeow.library import Library


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
