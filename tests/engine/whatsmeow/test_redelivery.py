"""kill -9 of an engine process loses no incoming message."""

from __future__ import annotations

import json
import re
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio

from actors.engine.logs import EngineLog
from actors.engine.protocol import messages as p
from actors.engine.whatsmeow.events import Incoming
from actors.engine.whatsmeow.log_lines import Passed
from actors.engine.whatsmeow.redelivery import AGAIN_EVERY_S, Redelivery
from actors.linker.wire.jid import Jid
from tests.engine.companies import A, B, linked, say, taken_up, talk
from tests.engine.conftest import BuildFile
from tests.engine.daemon import Engine, Link, run_engine
from tests.engine.rows import PEER, put_session
from tests.engine.sessions import chain, session, state
from tests.loopback.loopback import Loopback
from tests.loopback.server import open_loopback

BURST = 60
KILLS = 3
LOOK_EVERY_S = 1.0
TO_B = f"{B}@s.whatsapp.net"
PASSED = Passed("3EB0AA", "100000000000002:0@lid", "100000000000002@lid", 6, 4)


@dataclass
class Pair:
    """A sender whose engine stays alive, and the recipient's engine."""

    loopback: Loopback
    sender: Link
    directory: Path

    @property
    def environment(self) -> dict[str, str]:
        return self.loopback.endpoints.environment()


@asynccontextmanager
async def pair(tmp_path: Path) -> AsyncIterator[tuple[Pair, Engine, Link]]:
    """Both linked, each in a process of its own, and a session between them."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    async with (
        open_loopback() as loopback,
        run_engine(tmp_path / "a", loopback.endpoints.environment()) as alive,
        run_engine(tmp_path / "b", loopback.endpoints.environment()) as engine,
    ):
        sender = await linked(alive, loopback, "a", A)
        recipient = await linked(engine, loopback, "b", B)
        await talk(sender, recipient, "hello")
        yield Pair(loopback, sender, tmp_path / "b"), engine, recipient


Arrived = dict[int, str]
"""The events received, by their number in the event spool: a repeat under the same number is one event to the daemon."""


def note(link: Link, arrived: Arrived) -> None:
    """Add what this connection has reported."""
    for said in link.said:
        if isinstance(said, p.OutboxEvent) and said.type == "message":
            arrived[said.number] = json.loads(said.payload)["text"]


async def listen(link: Link, until: set[str], arrived: Arrived, excused: Callable[[], set[str]] = set) -> None:
    """Take what comes, log in again when the connection ended, until all of these but the excused have arrived."""
    note(link, arrived)
    with trio.fail_after(60):
        while not until <= set(arrived.values()) | excused():
            with trio.move_on_after(LOOK_EVERY_S):
                if isinstance(await link.receive(), p.Closed):
                    await link.send(p.Connect(call=1000))
            note(link, arrived)


def not_sent_anew(directory: Path) -> set[str]:
    """Ids of messages that the sender's library was asked to repeat and did not: asked for two at the same moment it would encrypt
    both with one key, the session guard refuses the second, and the library does not repeat it (docs/adr/0011). A phone does."""
    log = (directory / "a" / "engine.log").read_text()
    return set(re.findall(r"Failed to handle retry receipt for [^/ ]+/(\w+) from .* wasup: ", log))


async def serve(link: Link) -> None:
    """Acknowledge messages as they come."""
    while True:
        await link.receive()


async def test_a_burst_survives_kills(tmp_path: Path) -> None:
    """Killed in the middle of a burst, again and again: every message that was sent, or repeated on request, arrives once."""
    arrived: Arrived = {}
    sent: dict[str, str] = {}
    async with pair(tmp_path) as (both, engine, recipient):
        record = recipient.record
        await _burst_and_kill(both, engine, recipient, sent, arrived)
        for _ in range(1, KILLS):
            async with run_engine(both.directory, both.environment) as engine:
                link = await taken_up(engine, both.loopback, "b", record)
                await _burst_and_kill(both, engine, link, sent, arrived)
        async with run_engine(both.directory, both.environment) as engine:
            link = await taken_up(engine, both.loopback, "b", record)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(serve, both.sender)
                await listen(link, set(sent), arrived, lambda: excused(sent, tmp_path))
                nursery.cancel_scope.cancel()

    times = Counter(arrived.values())
    not_had = excused(sent, tmp_path) - times.keys()
    print(f"{len(sent)} sent, {len(not_had)} asked for and not sent anew")
    assert len(sent) == BURST * KILLS
    assert {text: times[text] for text in sent.keys() - not_had if times[text] != 1} == {}


def excused(sent: dict[str, str], directory: Path) -> set[str]:
    """Texts of `not_sent_anew`: the recipient has done what it can."""
    ids = not_sent_anew(directory)
    return {text for text, message_id in sent.items() if message_id in ids}


async def _burst_and_kill(both: Pair, engine: Engine, link: Link, sent: dict[str, str], arrived: Arrived) -> None:
    """Send a burst; kill the recipient's engine when a part of it has been reported."""
    first = len(sent)
    enough = len(arrived) + 5 + first // 10
    async with trio.open_nursery() as nursery:

        async def send() -> None:
            for number in range(first, first + BURST):
                sent[str(number)] = (await say(both.sender, TO_B, str(number))).message_id

        nursery.start_soon(send)
        while len(arrived) < enough:
            await link.receive()
            note(link, arrived)
        engine.process.kill()
        await engine.ended()


async def test_a_message_that_was_decrypted_and_not_kept_is_had_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """WhatsApp delivers it once more, its key is used up, and the sender is asked to repeat it."""
    async with pair(tmp_path) as (both, engine, recipient):
        device = both.loopback.directory.device(Jid(B, "s.whatsapp.net", 1))
        assert device is not None
        monkeypatch.setattr(device.mailbox, "acknowledge", lambda *_: False)
        await say(both.sender, TO_B, "nearly lost")
        before: Arrived = {}
        while "nearly lost" not in before.values():
            await recipient.receive()
            note(recipient, before)
        engine.process.kill()
        await engine.ended()
        monkeypatch.undo()
        _forget_arrivals(both.directory / "devices" / "b.db")
        recipient.record.messages.clear()
        arrived: Arrived = {}
        async with run_engine(both.directory, both.environment) as again, trio.open_nursery() as nursery:
            nursery.start_soon(serve, both.sender)  # which answers the retry
            link = await taken_up(again, both.loopback, "b", recipient.record)
            await listen(link, {"nearly lost"}, arrived)
            nursery.cancel_scope.cancel()

    assert list(arrived.values()) == ["nearly lost"]
    assert "having it delivered again" in (both.directory / "engine.log").read_text()


def _forget_arrivals(path: Path) -> None:
    """As if the process had been killed before the event spool was written, so that no event was reported."""
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM wasup_arrived")
        connection.execute("DELETE FROM wasup_outbox")
    connection.close()


class Kept:
    """The events that were stored."""

    def __init__(self) -> None:
        self.events: list[Incoming] = []
        self.now = 1000.0

    def redelivery(self, build_file: BuildFile) -> Redelivery:
        """For a file with a session in which six messages were received."""
        file = build_file()
        value = session(state("b", chain("s", 3), chain("q", 2), chain("r", 6)))
        put_session(file._connection, PEER, json.dumps(value).encode())
        return Redelivery(file, self.events.append, EngineLog("962302"), clock=lambda: self.now)


def test_a_message_that_came_before_is_left_alone(build_file: BuildFile) -> None:
    """It lies in the event log already: WhatsApp may get its receipt."""
    kept = Kept()
    redelivery = kept.redelivery(build_file)
    redelivery._file.event_spool.put("message", b"{}", message_id=PASSED.message_id)

    assert not redelivery.is_lost(PASSED)
    assert kept.events == []


def test_a_lost_one_is_made_undecryptable_once(build_file: BuildFile) -> None:
    """A key that fits nothing replaces the used one; when that did not help, the loss is reported."""
    kept = Kept()
    redelivery = kept.redelivery(build_file)
    assert redelivery.is_lost(PASSED)
    row = redelivery._file._connection.scalar("SELECT session FROM whatsmeow_sessions")
    assert isinstance(row, bytes)
    chains = json.loads(row)["SessionState"]["ReceiverChains"]
    assert [[key["Index"] for key in each["MessageKeys"]] for each in chains] == [[], [4]]

    assert not redelivery.is_lost(PASSED)
    assert [event.type for event in kept.events] == ["undecryptable"]
    assert kept.events[0].payload["messageId"] == PASSED.message_id
    assert kept.events[0].payload["chat"]["lid"] == "100000000000002@lid"


def test_log_ins_for_lost_messages_are_far_apart(build_file: BuildFile) -> None:
    """A loss found soon after another is only reported; later there may be another log-in."""
    kept = Kept()
    redelivery = kept.redelivery(build_file)
    found: list[bool] = []
    for number, wait_s in enumerate([0.0, 1.0, 10.0, AGAIN_EVERY_S]):
        kept.now += wait_s
        found.append(redelivery.is_lost(Passed(f"3EB0{number}", PASSED.sender, PASSED.chat, 6, number)))

    assert found == [True, True, False, True]


def test_a_groups_lost_message_is_reported(build_file: BuildFile) -> None:
    """It cannot be requested again."""
    kept = Kept()
    group = Passed("3EB0BB", PASSED.sender, "120363000000000001@g.us", None, None)

    assert not kept.redelivery(build_file).is_lost(group)
    assert kept.events[0].payload["chat"] == {
        "id": "120363000000000001@g.us", "pn": None, "lid": None, "kind": "group",
    }  # fmt: skip


def test_the_same_message_is_kept_once(build_file: BuildFile) -> None:
    """A phone that answers a retry for an earlier message sends it a second time."""
    event_spool = build_file().event_spool
    event_spool.put("message", b"1", message_id="3EB0AA")
    event_spool.put("message", b"2", message_id="3EB0AA")
    event_spool.put("message", b"3", message_id="3EB0BB")

    assert [item.payload for item in event_spool.all()] == [b"1", b"3"]
