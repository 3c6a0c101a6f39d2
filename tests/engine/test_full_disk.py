"""A company whose file cannot be written leaves WhatsApp before it acknowledges anything, and keeps its unwritten events."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trio

from actors.engine.device.file import DeviceFile, build, open_file
from actors.engine.device.schema import Template
from actors.engine.device.sqlite import Sqlite
from actors.engine.errors import WriteFault
from actors.engine.protocol.messages import Closed, Connect, Connected, Disconnect, Done, Failed, OutboxEvent, SendText
from actors.engine.whatsmeow import client as client_module
from actors.engine.whatsmeow.library import Callbacks, Library
from config.reserve import NAME
from tests.engine.fakes import FakeLibrary, refuse
from tests.engine.rows import creds, put_identity
from tests.engine.test_session import Company, OpenCompany, logs_in, open_company
from tests.engine.whatsmeow.test_client import RECEIPT, receipt
from tests.support.bars import patience
from tests.support.small_disk import fill, mounted_disk, needs_mount

__all__ = ["open_company"]

UNSTORED = "Error decrypting message A from 1@lid: failed to decrypt normal message: failed to store session: database or disk is full"
ACK = '<ack class="message" id="A" to="1@lid"/>'
MESSAGE = '<message from="1@lid" id="A" t="1"><enc type="msg" v="2">00</enc></message>'


@pytest.fixture
def fake(library: Library) -> FakeLibrary:
    """A library that logs in at once."""
    fake = FakeLibrary(library)
    fake.on_run = logs_in
    return fake


def take_no_writes(file: DeviceFile, *, no: bool = True) -> None:
    """Make this connection alone fail as on a full disk."""
    file._connection.script(f"PRAGMA query_only = {int(no)}")


async def connected(company: Company) -> None:
    """Logged in."""
    assert isinstance(await company.ask(Connect(call=1)), Done)
    await company.hear(Connected)


async def test_a_message_that_could_not_be_stored_is_not_acknowledged(
    open_company: OpenCompany, fake: FakeLibrary, tmp_path: Path
) -> None:
    """The log line comes on the thread that acknowledges next; the reserve is released, and the client stopped."""
    (tmp_path / NAME).write_bytes(b"x")
    order: list[str] = []
    fake.on_disconnect = lambda: order.append("disconnected")

    def decrypt(callbacks: Callbacks) -> None:
        callbacks.log("DEBUG", "Client/Recv", MESSAGE)
        callbacks.log("WARN", "Client", UNSTORED)
        callbacks.log("DEBUG", "Client/Send", ACK)
        order.append("acknowledged")

    async with open_company(fake=fake) as company:
        await connected(company)
        thread = threading.Thread(target=decrypt, args=(fake.callback(),), daemon=True)
        thread.start()
        closed = await company.hear(Closed)
        await trio.to_thread.run_sync(thread.join, 10.0)

        assert (closed.kind, closed.text) == ("storage_full", "a write failed (database or disk is full)")
        assert order == ["disconnected", "acknowledged"]
        assert not (tmp_path / NAME).exists()


async def test_what_could_not_be_written_is_written_before_the_next_log_in(
    open_company: OpenCompany, fake: FakeLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message stays in memory while the company is away; until it is written the company does not log in."""
    monkeypatch.setattr(client_module, "STORE_RETRY_S", 0)
    async with open_company(fake=fake) as company:
        await connected(company)
        take_no_writes(company.file)
        await company.tell(RECEIPT, _message(receipt(fake)))
        closed = await company.hear(Closed)
        refused = await company.ask(Connect(call=2))
        take_no_writes(company.file, no=False)
        await company.ask(Connect(call=3))
        event = await company.hear(OutboxEvent)

        assert closed.kind == "storage_full"
        assert isinstance(refused, Failed)
        assert refused.code == "storage_full"
        assert event.type == "receipt"
        assert [name for name, _ in fake.done].count("run") == 2


async def test_an_undecryptable_message_that_is_none_is_not_told(open_company: OpenCompany, fake: FakeLibrary) -> None:
    """The library reports a message that it could not store as undecryptable; WhatsApp delivers it again."""
    jid = fake.protobufs.JID(User="2", Server="lid", RawAgent=0, Device=0, Integrator=0, IsEmpty=False)
    source = fake.protobufs.MessageSource(Chat=jid, Sender=jid)
    info = fake.protobufs.MessageInfo(MessageSource=source, ID="A")
    event = fake.protobufs.UndecryptableMessage(Info=info)
    async with open_company(fake=fake) as company:
        await connected(company)
        await company.log(UNSTORED)
        await company.tell(11, event)
        await company.hear(Closed)

        assert company.file.event_spool.all() == []


async def test_a_send_that_could_not_be_stored_says_so(open_company: OpenCompany, fake: FakeLibrary) -> None:
    """Nothing was sent, and the company leaves as well."""
    fake.on_send = refuse("failed to encrypt message: failed to store session: database or disk is full")
    async with open_company(fake=fake) as company:
        await connected(company)
        failed = await company.ask(SendText(call=2, to="2@lid", text="t"))
        closed = await company.hear(Closed)

        assert failed.code == "storage_full"
        assert closed.kind == "storage_full"


async def test_a_journal_that_cannot_be_cut_is_cut_later(
    open_company: OpenCompany, fake: FakeLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection to the daemon stays, so what is in the file is shipped; only the connection to WhatsApp ends."""
    monkeypatch.setattr("actors.engine.shipping.CUT_AGAIN_S", 0.01)
    async with open_company(fake=fake) as company:
        await connected(company)
        put_identity(company.file._connection)
        position = await company.session.shipper.ship()
        take_no_writes(company.file)
        company.session.shipper.committed(position)
        closed = await company.hear(Closed)
        take_no_writes(company.file, no=False)
        with trio.fail_after(patience(10)):
            while company.file.journal.first_kept() <= position:
                await trio.sleep(0.01)

        assert closed.kind == "storage_full"
        assert isinstance(await company.ask(Disconnect(call=4)), Done)


@pytest.fixture
def small_disk() -> Generator[Path]:
    """One of 2 MiB."""
    with mounted_disk(2) as directory:
        yield directory


@pytest.mark.parametrize("free_kib", [0, 64, 200])
@pytest.mark.usefixtures("library")
@needs_mount[0]
@needs_mount[1]
def test_a_full_disk_harms_no_device_file(sqlite: Sqlite, template: Template, small_disk: Path, free_kib: int) -> None:
    """The file there is not taken for damaged, and no half-written file replaces it, however little room is left."""
    path = small_disk / "962302.db"
    file, _ = build(sqlite, template, path, creds(), (), ())
    file.event_spool.put("message", b"arrived")
    file.close()
    fill(small_disk / "ballast")
    with (small_disk / "ballast").open("r+b") as ballast:
        ballast.truncate(max(0, (small_disk / "ballast").stat().st_size - free_kib * 1024))

    with pytest.raises(WriteFault):
        build(sqlite, template, path, creds(), (), ())
    with suppress(WriteFault):  # with a little room it can be opened
        opened = open_file(sqlite, path)
        assert opened is not None
        opened.close()
    (small_disk / "ballast").unlink()
    again = open_file(sqlite, path)

    assert again is not None
    assert [item.payload for item in again.event_spool.all()] == [b"arrived"]
    again.close()


def _message(data: bytes) -> Any:
    class Serialized:
        def SerializePartialToString(self) -> bytes:  # noqa: N802 - protobuf's name
            return data

    return Serialized()
