"""Messages that are sent without waiting for the record, because their keys are reserved there."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from actors.engine.device.reservations import AHEAD
from actors.engine.protocol import messages as p
from tests.engine.companies import LIDS, B, both_linked, both_taken_up, say, talk, two_companies
from tests.engine.daemon import Link, run_engine
from tests.loopback.server import open_loopback


async def arrive(first: Link, second: Link, *texts: str) -> None:
    """Messages of the first arrive at the second, decrypted."""
    for text in texts:
        await say(first, f"{B}@s.whatsapp.net", text)
        assert (await second.hear_message())["text"] == text


async def talk_and_take_nothing_more(first: Link, second: Link) -> None:
    """Exchange messages; then the first's record stops taking deltas."""
    await talk(first, second, "before")
    # The library writes down its contact beside the report of the message; a send would wait for that to be committed.
    contact = {("whatsmeow-contact", jid) for jid in (f"{B}@s.whatsapp.net", f"{LIDS[B]}@lid")}
    while not contact <= first.record.keys.keys():
        await first.hear(p.JournalDelta)
    first.acknowledges = False


def put_aside(device: Path, directory: Path) -> None:
    """Copy a device file as it is now, with SQLite's files beside it."""
    for path in device.parent.glob(f"{device.name}*"):
        shutil.copy(path, directory / f"earlier-{path.name}")


def put_back(directory: Path, device: Path) -> None:
    """Put the device file back to that copy."""
    for path in device.parent.glob(f"{device.name}*"):
        path.unlink()
    for path in directory.glob("earlier-*"):
        shutil.copy(path, device.parent / path.name.removeprefix("earlier-"))


async def test_messages_leave_while_the_record_takes_nothing(tmp_path: Path) -> None:
    """After an exchange the record has the next keys already: that many messages arrive, and are answered, with nothing committed."""
    async with two_companies(tmp_path) as (_, _, first, second):
        await talk_and_take_nothing_more(first, second)
        committed = first.record.position
        await arrive(first, second, *(f"reserved {number}" for number in range(AHEAD - 1)))

        assert first.record.position == committed


async def test_the_message_beyond_waits_until_more_is_reserved(tmp_path: Path) -> None:
    """The first step that is not reserved is shipped, and the message is with WhatsApp only after its commit."""
    async with two_companies(tmp_path) as (loopback, _, first, second):
        await talk_and_take_nothing_more(first, second)
        await arrive(first, second, *(f"reserved {number}" for number in range(AHEAD)))
        messages = loopback.counters()["messages"]
        await first.send(p.SendText(call=999, to=f"{B}@s.whatsapp.net", text="beyond"))
        delta = await first.hear(p.JournalDelta)
        before = loopback.counters()["messages"]
        first.record.commit(first.record.file_id or "", delta)
        await first.send(p.Committed(position=delta.position))

        assert before == messages
        assert (await second.hear_message())["text"] == "beyond"


async def test_files_lost_after_messages_that_no_commit_followed(tmp_path: Path) -> None:
    """kill -9 and all files deleted while the record lags: it goes on beyond the keys that were used, so the next messages are read."""
    async with open_loopback() as loopback:
        environment = loopback.endpoints.environment()
        async with run_engine(tmp_path, environment) as engine:
            first, second = await both_linked(engine, loopback)
            await talk_and_take_nothing_more(first, second)
            await arrive(first, second, *(f"uncommitted {number}" for number in range(AHEAD - 1)))
            engine.process.kill()
        shutil.rmtree(tmp_path / "devices")
        async with run_engine(tmp_path, environment) as engine:
            first, second = await both_taken_up(engine, loopback, first, second)
            await arrive(first, second, "after", "and again")

        assert loopback.counters()["retry_receipts"] == 0


async def test_a_machine_that_forgot_the_last_messages(tmp_path: Path) -> None:
    """After a power cut the file may be in its state of some messages ago: on another boot its chains go on beyond them."""
    async with open_loopback() as loopback:
        environment = loopback.endpoints.environment()
        device = tmp_path / "devices" / "a.db"
        async with run_engine(tmp_path, environment) as engine:
            first, second = await both_linked(engine, loopback)
            await talk(first, second, "before")
            await first.call(p.Disconnect)
            put_aside(device, tmp_path)
            await first.call(p.Connect)
            await first.hear(p.Connected)
            await arrive(first, second, *(f"forgotten {number}" for number in range(AHEAD // 2)))
            engine.process.kill()
        put_back(tmp_path, device)
        with closing(sqlite3.connect(device)) as connection, connection:
            connection.execute("UPDATE wasup_meta SET value = 'another' WHERE name = 'boot'")
        async with run_engine(tmp_path, environment) as engine:
            first, second = await both_taken_up(engine, loopback, first, second)
            await arrive(first, second, "after", "and again")

        assert loopback.counters()["retry_receipts"] == 0
