"""The known timers of chats whose messages disappear."""

from __future__ import annotations

from typing import Any

import pytest

from actors.engine.device.remembered import Remembered
from actors.engine.whatsmeow.events import GroupTimerSet, decode
from actors.engine.whatsmeow.library import Library
from actors.engine.whatsmeow.timers import MAX_SECONDS, SETTING, Timer, Timers
from tests.engine.conftest import BuildFile
from tests.engine.whatsmeow.test_payloads import content, jid

DAY = 86_400
PN, LID = "79000000002@s.whatsapp.net", "100000000000002@lid"
CHAT = {"id": LID, "pn": PN, "lid": LID, "kind": "user"}


@pytest.fixture
def timers(build_file: BuildFile) -> Timers:
    """The timers of a company with an empty file."""
    remembered = Remembered(build_file()._connection, "wasup_timers")
    remembered.take_up()
    return Timers(remembered)


def message(**fields: Any) -> dict[str, Any]:
    """A text of the chat."""
    return {"kind": "text", "chat": CHAT, **fields}


def test_a_chats_timer_is_known_by_each_of_its_ids(timers: Timers) -> None:
    """A group's by its only id."""
    timers.note(message(ephemeralExpiration=DAY, ephemeralSettingTimestamp=5))
    timers.note({"kind": "text", "chat": {"id": "1@g.us", "pn": None, "lid": None}, "ephemeralExpiration": DAY})

    assert [timers.of(chat) for chat in (PN, LID, "1@g.us", "2@lid")] == [
        Timer(DAY, 5),
        Timer(DAY, 5),
        Timer(DAY),
        None,
    ]


def test_a_message_without_a_timer_changes_nothing(timers: Timers) -> None:
    """Reactions and some clients' texts carry none; only a setting removes it."""
    timers.note(message(ephemeralExpiration=DAY))
    timers.note(message())
    kept = timers.of(PN)
    timers.note({"kind": SETTING, "chat": CHAT, "ephemeralExpiration": 0})

    assert (kept, timers.of(PN), timers.of(LID)) == (Timer(DAY), None, None)


def test_a_timer_that_no_client_has_is_not_taken(timers: Timers) -> None:
    """A peer may send any number."""
    timers.note(message(ephemeralExpiration=MAX_SECONDS + 1))

    assert timers.of(PN) is None


def test_a_timer_survives_a_restart(build_file: BuildFile) -> None:
    """It is in the device file."""
    connection = build_file()._connection
    first, second = (Remembered(connection, "wasup_timers") for _ in range(2))
    first.take_up()
    Timers(first).set({PN}, Timer(DAY, 7))
    second.take_up()

    assert Timers(second).of(PN) == Timer(DAY, 7)


def test_a_groups_notice_sets_its_timer(library: Library) -> None:
    """Or removes it; other changes of a group do not affect it."""
    protobufs = library.protobufs

    def event(**fields: Any) -> Any:
        found = protobufs.GroupInfoEvent(JID=jid(library, "1@g.us"), Timestamp=9, **fields)
        return decode(protobufs, 22, found.SerializePartialToString())

    on = event(Ephemeral=protobufs.GroupEphemeral(IsEphemeral=True, DisappearingTimer=DAY))
    off = event(Ephemeral=protobufs.GroupEphemeral(IsEphemeral=False, DisappearingTimer=0))

    assert (on, off) == (GroupTimerSet("1@g.us", Timer(DAY, 9)), GroupTimerSet("1@g.us", Timer(0, 9)))
    assert event() is None


@pytest.mark.parametrize("number", [3, 4])
def test_a_change_of_the_timer_is_a_message(library: Library, number: int) -> None:
    """It has a kind of its own; another device's answer about the timer as well."""
    e2e = library.messages
    setting = e2e.ProtocolMessage(type=number, ephemeralExpiration=DAY, ephemeralSettingTimestamp=5)

    found = content(library, e2e.Message(protocolMessage=setting))

    assert found == {"kind": SETTING, "ephemeralExpiration": DAY, "ephemeralSettingTimestamp": 5}
