"""A company in the engine: what its client reports, and every way in which it ends."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
import trio
import trio.testing

from actors.engine import session as module
from actors.engine.calls import ANSWERS_WAITING, Calls
from actors.engine.device.file import DeviceFile, Ending
from actors.engine.device.schema import Template
from actors.engine.device.sqlite import Sqlite
from actors.engine.host import Host
from actors.engine.logs import EngineLog
from actors.engine.protocol.messages import (
    Closed,
    Connect,
    Connected,
    Disconnect,
    Done,
    Failed,
    FromEngine,
    JournalDelta,
    KeepAlive,
    Logout,
    Open,
    OutboxEvent,
    Paired,
    PairingCode,
    Ping,
    Qr,
    QuotedMessage,
    RequestPairingCode,
    SendText,
    Sent,
    ToEngine,
)  # fmt: skip
from actors.engine.session import Session
from actors.engine.shipping import Shipper
from actors.engine.whatsmeow import client as client_module
from actors.engine.whatsmeow.library import Callbacks, Library
from config.reserve import Reserve
from tests.engine.conftest import BuildFile
from tests.engine.fakes import FakeLibrary, held, refuse
from tests.engine.rows import DEVICE, JID, LID, insert, put_session
from tests.support.bars import patience

M = TypeVar("M")

PAIRED, CONNECTED, KEEP_ALIVE_TIMEOUT, KEEP_ALIVE_RESTORED, DISCONNECTED = 2, 3, 4, 5, 12


class Company:
    """A session with its calls, on a fake library; its messages are recorded."""

    def __init__(
        self, session: Session, calls: Calls, fake: FakeLibrary, file: DeviceFile, host: Host, said: list[FromEngine]
    ) -> None:
        self.session = session
        self.fake = fake
        self.file = file
        self.host = host
        self.said = said
        self._calls = calls
        self._held: tuple[type[FromEngine], trio.Event] | None = None

    def holds(self, kind: type[FromEngine], taken: trio.Event) -> None:
        """Messages of this kind are not taken before the event is set."""
        self._held = kind, taken

    async def take(self, message: FromEngine) -> None:
        """Take one message of the engine's."""
        if self._held is not None and isinstance(message, self._held[0]):
            await self._held[1].wait()
        self.said.append(message)

    async def sends(self, count: int) -> None:
        """Wait until the library was given that many messages."""
        with trio.fail_after(patience(10)):
            while sum(name == "send" for name, _ in self.fake.done) < count:
                await trio.sleep(0.001)

    async def ask(self, message: ToEngine) -> FromEngine:
        """Return the reply to a call."""
        await self._calls.take(message)
        number = getattr(message, "call", 0)
        with trio.fail_after(patience(10)):
            while True:
                for said in self.said:
                    if getattr(said, "call", None) == number:
                        return said
                await trio.sleep(0.001)

    async def hear(self, kind: type[M], count: int = 1) -> M:
        """Wait for the ``count``-th message of a kind."""
        with trio.fail_after(patience(10)):
            while len(found := [said for said in self.said if isinstance(said, kind)]) < count:
                await trio.sleep(0.001)
        return found[count - 1]

    async def tell(self, number: int, message: Any = None) -> None:
        """Report an event of the library, on a thread of its own."""
        data = message.SerializePartialToString() if message is not None else b""
        await trio.to_thread.run_sync(self.fake.callback().event, number, data)

    async def log(self, line: str) -> None:
        """Write a line of whatsmeow's log."""
        await trio.to_thread.run_sync(self.fake.callback().log, "WARN", "Client", line)

    def names(self) -> list[str]:
        return [type(said).__name__ for said in self.said]


OpenCompany = Callable[..., Any]


@pytest.fixture
def open_company(
    library: Library, sqlite: Sqlite, template: Template, build_file: BuildFile, tmp_path: Path
) -> OpenCompany:
    """Opens a company: linked or not, with hooks of the fake library set beforehand."""

    @asynccontextmanager
    async def opened(
        *, linked: bool = True, fake: FakeLibrary | None = None, ending: Ending | None = None
    ) -> AsyncIterator[Company]:
        fake = fake or FakeLibrary(library)
        host = Host(
            library=fake,
            sqlite=sqlite,
            template=template,
            devices=tmp_path,
            max_companies=5,
            reserve=Reserve(tmp_path),
        )
        file = build_file(linked=linked)
        if ending is not None:
            file.end(ending)
        said: list[FromEngine] = []

        async def send(message: FromEngine) -> None:
            await company.take(message)

        shipper = Shipper(file, send, EngineLog("962302"), position=0, base=False)
        session = Session(
            host, Open(company_id="962302", file_id=None, position=0), file, send, shipper, EngineLog("962302")
        )
        calls = Calls(host, session, send, EngineLog("962302"))
        company = Company(session, calls, fake, file, host, said)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(session.run)
            nursery.start_soon(calls.run)
            await trio.testing.wait_all_tasks_blocked(0.01)
            yield company
            nursery.cancel_scope.cancel()

    return opened


@pytest.fixture
def fake(library: Library) -> FakeLibrary:
    return FakeLibrary(library)


def logs_in(callbacks: Callbacks) -> None:
    """A library whose log-in succeeds at once."""
    callbacks.event(CONNECTED, b"")


async def test_a_linked_company_connects(open_company: OpenCompany, fake: FakeLibrary) -> None:
    """`Done` for the attempt, then `Connected` with the device's names."""
    fake.on_run = logs_in
    async with open_company(fake=fake) as company:
        answer = await company.ask(Connect(call=1))

        assert answer == Done(call=1)
        assert await company.hear(Connected) == Connected(jid=JID, lid=LID, push_name="Name")


async def test_each_code_on_offer_says_how_long_it_is_valid(open_company: OpenCompany) -> None:
    """The first for 60 s, the others for 20 s."""
    async with open_company(linked=False) as company:
        await company.ask(Connect(call=1))
        await trio.to_thread.run_sync(company.fake.callback().qr, "first")
        await trio.to_thread.run_sync(company.fake.callback().qr, "second")

        assert [await company.hear(Qr, 1), await company.hear(Qr, 2)] == [
            Qr(codes=("first",), valid_s=60.0),
            Qr(codes=("second",), valid_s=20.0),
        ]


def pair_status(fake: FakeLibrary, **changes: Any) -> Any:
    """The library's event about pairing."""
    jid = fake.protobufs.JID(
        User="79000000001", RawAgent=0, Device=1, Integrator=0, Server="s.whatsapp.net", IsEmpty=False
    )
    return fake.protobufs.PairStatus(**({"ID": jid, "BusinessName": "", "Platform": "android", "Status": 2} | changes))


async def link(company: Company) -> None:
    """A phone scans: the library writes the device and reports it."""
    await company.ask(Connect(call=1))
    insert(company.file._connection, "whatsmeow_device", **DEVICE)
    await company.tell(PAIRED, pair_status(company.fake))


async def test_credentials_are_shipped_before_the_pairing_is_told(open_company: OpenCompany) -> None:
    """`Paired` names a position whose delta with the creds was sent before it."""
    async with open_company(linked=False) as company:
        await link(company)
        paired = await company.hear(Paired)

        deltas = [said for said in company.said[: company.said.index(paired)] if isinstance(said, JournalDelta)]
        assert paired.position == deltas[-1].position
        assert any(delta.creds for delta in deltas)
        assert (paired.jid, paired.lid, paired.platform) == (JID, LID, "android")


async def test_silence_after_linking_is_an_ending(open_company: OpenCompany, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the library's restart after 515 fails it never reports it: our deadline does, with the code."""
    monkeypatch.setattr(module, "LOGIN_AFTER_PAIRING_S", 0.05)
    async with open_company(linked=False) as company:
        await link(company)

        closed = await company.hear(Closed)

    assert (closed.kind, closed.code) == ("disconnected", 515)
    assert company.names().index("Paired") < company.names().index("Closed")


async def test_silence_after_a_connect_is_an_ending(open_company: OpenCompany, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every state has a deadline, also where the library would wait for ever."""
    monkeypatch.setattr(module, "LOGIN_WITHIN_S", 0.05)
    async with open_company() as company:
        await company.ask(Connect(call=1))

        closed = await company.hear(Closed)

    assert closed.kind == "disconnected"
    assert "in time" in closed.text


async def test_no_code_in_time_is_an_ending(open_company: OpenCompany, monkeypatch: pytest.MonkeyPatch) -> None:
    """A company that wants to be linked does not wait for ever either."""
    monkeypatch.setattr(module, "OFFER_WITHIN_S", 0.05)
    async with open_company(linked=False) as company:
        await company.ask(Connect(call=1))

        assert (await company.hear(Closed)).kind == "pairing_failed"


@pytest.mark.parametrize(("kind_said", "code"), [("the log alone", 411), ("log and event loop", 411)])
async def test_a_refusal_without_an_event_is_told_with_its_code(
    open_company: OpenCompany, kind_said: str, code: int, fake: FakeLibrary
) -> None:
    """The library's event loop gives up on codes it has no name for; its log has them."""
    async with open_company(fake=fake) as company:
        await company.ask(Connect(call=1))
        await company.log('Unknown connect failure: <failure reason="411"/>')
        if kind_said != "the log alone":
            fake.stop("962302#1")
        closed = await company.hear(Closed)

    assert (closed.kind, closed.code) == ("connect_failure", code)
    assert company.names().count("Closed") == 1


async def test_the_client_is_stopped_before_its_end_is_told(open_company: OpenCompany, fake: FakeLibrary) -> None:
    """The library reconnects unasked; the daemon may send `Connect` as soon as it hears of the end."""
    fake.on_run = logs_in
    async with open_company(fake=fake) as company:
        await company.ask(Connect(call=1))
        await company.hear(Connected)
        await company.tell(DISCONNECTED, fake.protobufs.Disconnected(status=True))
        await company.hear(Closed)
        done = [what for what, _ in fake.done]

    assert done == ["run", "disconnect", "stop"]
    assert company.host.clients_ended == 1


async def test_the_code_announced_before_the_socket_closed_is_told(
    open_company: OpenCompany, fake: FakeLibrary
) -> None:
    """503 comes without an event of its own."""
    async with open_company(fake=fake) as company:
        await company.ask(Connect(call=1))
        await company.log("Got 503/ connect failure, assuming automatic reconnect will handle it")
        await company.tell(DISCONNECTED, fake.protobufs.Disconnected(status=True))
        closed = await company.hear(Closed)

    assert (closed.kind, closed.code) == ("disconnected", 503)


@pytest.mark.parametrize(("line", "kind"), [
    ('Unknown connect failure: <failure reason="409"/>', "pairing_failed"),
    ("Client outdated (405) connect failure (client version: 2)", "outdated"),
    ('Temporary ban connect failure: <failure code="101" expire="60" reason="402"/>', "temporary_ban"),
])  # fmt: skip
async def test_without_a_device_endings_are_failed_pairings(open_company: OpenCompany, line: str, kind: str) -> None:
    """Except those for which the account or the client as such is the cause."""
    async with open_company(linked=False) as company:
        await company.ask(Connect(call=1))
        await company.log(line)

        assert (await company.hear(Closed)).kind == kind


async def test_a_log_out_is_told_remembered_and_not_shipped(open_company: OpenCompany, fake: FakeLibrary) -> None:
    """whatsmeow deletes every row; Postgres keeps them for the archive, and the file says how it ended."""
    fake.on_run = logs_in
    async with open_company(fake=fake) as company:
        await company.ask(Connect(call=1))
        await company.hear(Connected)
        put_session(company.file._connection)
        await company.session.shipper.ship()
        shipped = company.names().count("JournalDelta")
        company.file._connection.execute("DELETE FROM whatsmeow_device")
        await company.tell(6, fake.protobufs.LoggedOut(OnConnect=False, Reason=4))
        closed = await company.hear(Closed)
        ending = company.file.ending()

    assert (closed.kind, closed.code) == ("logged_out", 403)
    assert ending is not None
    assert (ending.kind, ending.code) == ("logged_out", 403)
    assert company.names().count("JournalDelta") == shipped


async def test_a_file_that_ended_says_so_when_it_is_opened_again(open_company: OpenCompany) -> None:
    """A daemon that died before archiving the credentials learns of it again."""
    async with open_company(ending=Ending("logged_out", 406, "banned")) as company:
        assert await company.hear(Closed) == Closed(kind="logged_out", code=406, text="banned")


async def test_connecting_twice_makes_one_client(open_company: OpenCompany, fake: FakeLibrary) -> None:
    """Two clients of one device would fork its ratchets."""
    async with open_company(fake=fake) as company:
        await company.ask(Connect(call=1))
        await company.ask(Connect(call=2))

        assert [what for what, _ in fake.done] == ["run"]


async def test_a_company_whose_client_is_stuck_gets_no_second_one(
    open_company: OpenCompany, fake: FakeLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first may still log in one day."""
    monkeypatch.setattr(client_module, "DISCONNECT_S", 0.02)
    release = threading.Event()
    fake.on_disconnect = held(release)
    async with open_company(fake=fake) as company:
        await company.ask(Connect(call=1))
        await company.ask(Disconnect(call=2))
        refused = await company.ask(Connect(call=3))

        assert isinstance(refused, Failed)
        assert refused.code == "engine_error"
        assert company.host.count_stuck_clients() == 1
        release.set()
        fake.stop("962302#1")


async def test_a_company_connects_again_with_a_client_of_another_name(
    open_company: OpenCompany, fake: FakeLibrary
) -> None:
    """The library may still hold the old one under its name."""
    fake.on_run = logs_in
    async with open_company(fake=fake) as company:
        for call in (1, 3):
            await company.ask(Connect(call=call))
            await company.hear(Connected, (call + 1) // 2)
            await company.ask(Disconnect(call=call + 1))

        assert [name for what, name in fake.done if what == "run"] == ["962302#1", "962302#2"]


async def test_unanswered_keep_alives_are_told_and_at_last_an_ending(
    open_company: OpenCompany, fake: FakeLibrary
) -> None:
    """Before the library would begin to reconnect by itself."""
    fake.on_run = logs_in
    async with open_company(fake=fake) as company:
        await company.ask(Connect(call=1))
        await company.hear(Connected)
        await company.tell(KEEP_ALIVE_TIMEOUT, fake.protobufs.KeepAliveTimeout(ErrorCount=3, LastSuccess=1))

        assert await company.hear(KeepAlive) == KeepAlive(ok=False, errors=3)
        assert (await company.hear(Closed)).kind == "disconnected"


async def test_keep_alives_that_work_again_are_told_once(
    open_company: OpenCompany, fake: FakeLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the library or through a ping of our own."""
    monkeypatch.setattr(module, "KEEP_ALIVE_LOST_S", float("inf"))
    fake.on_run = logs_in
    async with open_company(fake=fake) as company:
        await company.ask(Connect(call=1))
        await company.hear(Connected)
        await company.tell(KEEP_ALIVE_TIMEOUT, fake.protobufs.KeepAliveTimeout(ErrorCount=1, LastSuccess=1))
        await company.hear(KeepAlive)
        await company.ask(Ping(call=2))
        await company.tell(KEEP_ALIVE_RESTORED)
        await company.ask(Ping(call=3))

        assert [said for said in company.said if isinstance(said, KeepAlive)] == [
            KeepAlive(ok=False, errors=1),
            KeepAlive(ok=True),
        ]


async def test_a_text_is_sent_and_its_ratchet_step_shipped_first(open_company: OpenCompany, fake: FakeLibrary) -> None:
    """`Sent` names a position whose delta was sent before it."""
    fake.on_run = logs_in
    async with open_company(fake=fake) as company:
        await company.ask(Connect(call=1))
        await company.hear(Connected)
        fake.on_send = lambda to, message: put_session(company.file._connection)
        sent = await company.ask(SendText(call=2, to="79000000002@s.whatsapp.net", text="hello"))

    assert isinstance(sent, Sent)
    delta = next(said for said in company.said if isinstance(said, JournalDelta) and said.keys)
    assert (sent.message_id, sent.timestamp, sent.position) == ("3EB0", 1795227239.0, delta.position)
    assert company.said.index(delta) < company.said.index(sent)


async def test_a_reply_quotes_what_it_answers(open_company: OpenCompany, fake: FakeLibrary) -> None:
    """It carries id, sender without device, and text of the quoted message."""
    messages: list[Any] = []
    fake.on_run = logs_in
    fake.on_send = lambda to, message: messages.append(fake.messages.Message.FromString(message))
    quoted = QuotedMessage(message_id="OLD", sender="79000000002:3@s.whatsapp.net", text="question")
    async with open_company(fake=fake) as company:
        await company.ask(Connect(call=1))
        await company.hear(Connected)
        await company.ask(SendText(call=2, to="100000000000002@lid", text="answer", quoted=quoted))

    (message,) = messages
    context = message.extendedTextMessage.contextInfo
    assert message.extendedTextMessage.text == "answer"
    assert (context.stanzaID, context.participant, context.quotedMessage.conversation) == (
        "OLD",
        "79000000002@s.whatsapp.net",
        "question",
    )


async def test_the_next_text_does_not_wait_for_the_answer_to_the_one_before(
    open_company: OpenCompany, fake: FakeLibrary
) -> None:
    """The library gets it while the daemon does not take the reply; a bounded number of replies may wait like that."""
    fake.on_run = logs_in
    async with open_company(fake=fake) as company:
        await company.ask(Connect(call=1))
        await company.hear(Connected)
        taken = trio.Event()
        company.holds(Sent, taken)
        for number in range(ANSWERS_WAITING + 5):
            await company._calls.take(SendText(call=100 + number, to="2@lid", text=str(number)))
        await company.sends(ANSWERS_WAITING + 1)
        await trio.testing.wait_all_tasks_blocked(0.05)
        handed_over = sum(name == "send" for name, _ in fake.done)
        taken.set()
        await company.hear(Sent, ANSWERS_WAITING + 5)

    assert handed_over == ANSWERS_WAITING + 1


async def test_texts_are_sent_in_the_order_they_came(open_company: OpenCompany, fake: FakeLibrary) -> None:
    """One after another, however many wait."""
    texts: list[str] = []
    fake.on_run = logs_in
    fake.on_send = lambda to, message: texts.append(fake.messages.Message.FromString(message).conversation)
    async with open_company(fake=fake) as company:
        await company.ask(Connect(call=1))
        await company.hear(Connected)
        for number in range(20):
            await company._calls.take(SendText(call=100 + number, to="2@lid", text=str(number)))
        await company.hear(Sent, 20)

    assert texts == [str(number) for number in range(20)]


@pytest.mark.parametrize("to", ["", "79000000002", "@s.whatsapp.net", "1@example.com"])
async def test_a_recipient_that_is_no_jid_is_refused(open_company: OpenCompany, fake: FakeLibrary, to: str) -> None:
    """Before the library gets it."""
    fake.on_run = logs_in
    async with open_company(fake=fake) as company:
        await company.ask(Connect(call=1))
        await company.hear(Connected)
        refused = await company.ask(SendText(call=2, to=to, text="x"))

    assert isinstance(refused, Failed)
    assert refused.code == "no_such_recipient"
    assert "send" not in [what for what, _ in fake.done]


CALLS: list[ToEngine] = [SendText(call=7, to="2@lid", text="x"), Ping(call=7), Logout(call=7)]


@pytest.mark.parametrize("message", CALLS, ids=lambda message: type(message).__name__)
async def test_calls_that_need_whatsapp_are_refused_without_it(open_company: OpenCompany, message: ToEngine) -> None:
    """A clear error, nothing sent."""
    async with open_company() as company:
        refused = await company.ask(message)

        assert isinstance(refused, Failed)
        assert refused.code == "not_connected"
        assert company.fake.done == []


async def test_a_failed_call_carries_the_librarys_sentence(open_company: OpenCompany, fake: FakeLibrary) -> None:
    """Code and text, and the session goes on."""
    fake.on_run, fake.on_send = logs_in, refuse("no LID found for 79000000009@s.whatsapp.net from server")
    async with open_company(fake=fake) as company:
        await company.ask(Connect(call=1))
        await company.hear(Connected)
        failed = await company.ask(SendText(call=2, to="79000000009@s.whatsapp.net", text="x"))
        again = await company.ask(Ping(call=3))

    assert isinstance(failed, Failed)
    assert failed.code == "no_such_recipient"
    assert again == Done(call=3)


async def test_a_pairing_code_is_asked_for_while_a_qr_is_on_offer(open_company: OpenCompany, fake: FakeLibrary) -> None:
    """The library needs the connection that offers the QR."""
    fake.on_run = lambda callbacks: callbacks.qr("code")
    async with open_company(linked=False, fake=fake) as company:
        await company.ask(Connect(call=1))
        await company.hear(Qr)

        assert await company.ask(RequestPairingCode(call=2, phone="79000000001")) == PairingCode(
            call=2, code="ABCD-1234"
        )


@pytest.mark.parametrize(
    ("linked", "phone", "code"), [(True, "79000000001", "already_linked"), (False, "+79000000001", "rejected")]
)
async def test_a_pairing_code_is_refused_where_it_makes_no_sense(
    open_company: OpenCompany, fake: FakeLibrary, phone: str, code: str, *, linked: bool
) -> None:
    """For a linked company, and for an invalid number."""
    fake.on_run = lambda callbacks: callbacks.qr("code")
    async with open_company(linked=linked, fake=fake) as company:
        await company.ask(Connect(call=1))
        await company.hear(Qr)
        refused = await company.ask(RequestPairingCode(call=2, phone=phone))

    assert isinstance(refused, Failed)
    assert refused.code == code


async def test_a_log_out_on_request_is_an_ending_of_the_file(open_company: OpenCompany, fake: FakeLibrary) -> None:
    """The client is stopped, nothing is shipped any more, and the reply is `Done`."""
    fake.on_run = logs_in
    async with open_company(fake=fake) as company:
        await company.ask(Connect(call=1))
        await company.hear(Connected)
        answer = await company.ask(Logout(call=2))
        ending = company.file.ending()

    assert answer == Done(call=2)
    assert ending is not None
    assert ending.kind == "logged_out"
    assert [what for what, _ in fake.done] == ["run", "logout", "disconnect", "stop"]


async def test_leaving_stops_the_client_and_closes_the_file(open_company: OpenCompany, fake: FakeLibrary) -> None:
    """A lost connection to the daemon leaves nothing behind."""
    fake.on_run = logs_in
    async with open_company(fake=fake) as company:
        await company.ask(Connect(call=1))
        await company.hear(Connected)

    assert [what for what, _ in fake.done] == ["run", "disconnect", "stop"]
    with pytest.raises(Exception, match="closed"):
        company.file.identity()


async def test_a_company_that_was_logged_out_does_not_connect(open_company: OpenCompany) -> None:
    """Its file must be discarded first: another device in it would mix with the one to be archived."""
    async with open_company(ending=Ending("logged_out", 401, "x")) as company:
        refused = await company.ask(Connect(call=1))

    assert isinstance(refused, Failed)
    assert refused.code == "not_linked"
    assert company.fake.done == []


@pytest.mark.parametrize("known", [True, False])
async def test_ids_whatsapp_left_out_are_completed_from_what_the_library_learnt(
    open_company: OpenCompany, fake: FakeLibrary, *, known: bool
) -> None:
    """A receipt names only the LID; applications know numbers."""
    fake.on_run = logs_in
    peer = fake.protobufs.JID(User="100000000000002", Server="lid", RawAgent=0, Device=0, Integrator=0, IsEmpty=False)
    event = fake.protobufs.Receipt(
        MessageSource=fake.protobufs.MessageSource(Chat=peer, Sender=peer), MessageIDs=["A"], Timestamp=1, Type=1
    )
    async with open_company(fake=fake) as company:
        if known:
            insert(company.file._connection, "whatsmeow_lid_map", lid="100000000000002", pn="79000000002")
        await company.ask(Connect(call=1))
        await company.tell(18, event)
        told = await company.hear(OutboxEvent)

    assert json.loads(told.payload)["chat"]["pn"] == ("79000000002@s.whatsapp.net" if known else None)
