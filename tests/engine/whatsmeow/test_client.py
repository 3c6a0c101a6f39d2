"""One client of the library: order, deadlines, and how it is stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from actors.engine.errors import CallRefused, SqliteError
from actors.engine.logs import EngineLog
from actors.engine.whatsmeow import client as module
from actors.engine.whatsmeow import events
from actors.engine.whatsmeow.client import Client, ClientSettings, OfferEnded, QrOffered, RunEnded, Stored
from actors.engine.whatsmeow.client_map_lock import ClientMapLock
from actors.engine.whatsmeow.disconnects import Closing
from actors.engine.whatsmeow.library import Callbacks, Library
from tests.engine.fakes import FakeLibrary, held, refuse
from tests.support.bars import patience

RECEIPT = 18


@pytest.fixture
def fake(library: Library) -> FakeLibrary:
    return FakeLibrary(library)


def receipt(library: FakeLibrary) -> bytes:
    """A receipt event."""
    empty = library.protobufs.JID(User="2", Server="lid", RawAgent=0, Device=0, Integrator=0, IsEmpty=False)
    source = library.protobufs.MessageSource(Chat=empty, Sender=empty)
    return bytes(
        library.protobufs.Receipt(
            MessageSource=source, MessageIDs=["A"], Timestamp=1, Type=1
        ).SerializePartialToString()
    )


def make(
    fake: FakeLibrary,
    *,
    linked: bool = True,
    store: Callable[[events.Incoming], None] = lambda event: None,
    make_durable: Callable[[threading.Event], None] = threading.Event.set,
    client_map_lock: ClientMapLock | None = None,
) -> Client:
    settings = ClientSettings("962302#1", Path("/nowhere/962302.db"), None, "wasup", linked)
    return Client(
        fake, client_map_lock or ClientMapLock(), settings, store, EngineLog("962302"), make_durable=make_durable
    )


def connected(callbacks: Callbacks) -> None:
    """The library's Connected event."""
    callbacks.event(3, b"")


async def test_what_the_library_tells_arrives_as_signals_in_order(fake: FakeLibrary) -> None:
    """QR codes, the end of the offer, events: one after another."""

    def tell(callbacks: Callbacks) -> None:
        callbacks.qr("first")
        callbacks.qr("second")
        callbacks.login_status("success")
        callbacks.event(3, b"")

    fake.on_run = tell
    client = make(fake)
    await client.start()

    assert [await client.signals.get() for _ in range(4)] == [
        QrOffered("first"), QrOffered("second"), OfferEnded("success"), events.LoggedIn(),
    ]  # fmt: skip
    await client.stop()


async def test_no_call_is_made_before_the_library_knows_the_client(fake: FakeLibrary) -> None:
    """It would dereference nil and end the process."""
    client = make(fake)
    await client.start()

    with pytest.raises(CallRefused) as caught:
        await client.call(fake.round_trip, deadline_s=1)

    assert (caught.value.code, [what for what, _ in fake.done]) == ("not_connected", ["run"])
    await client.stop()


async def test_no_call_of_another_client_begins_before_the_library_has_noted_a_new_one(fake: FakeLibrary) -> None:
    """However long it takes to open the file: until then it may write its maps, and Go ends the process when another thread reads them."""
    fake.on_run = connected
    client_map_lock = ClientMapLock()
    order: list[str] = []

    def call() -> None:
        client_map_lock.begin_call()
        order.append("called")

    def open_file() -> None:
        caller.start()
        caller.join(0.2)
        order.append("noted")

    caller = threading.Thread(target=call)
    fake.on_opening = open_file
    client = make(fake, client_map_lock=client_map_lock)
    await client.start()
    await trio.to_thread.run_sync(caller.join, 30.0)

    assert order == ["noted", "called"]
    await client.stop()


async def test_a_library_that_does_not_open_its_file_holds_up_nobody_for_long(
    fake: FakeLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that hangs affects one company only."""
    monkeypatch.setattr(module, "NOTED_WITHIN_S", 0.01)
    release = threading.Event()
    fake.on_opening = held(release)
    client_map_lock = ClientMapLock()
    client = make(fake, client_map_lock=client_map_lock)
    await client.start()

    client_map_lock.begin_call()

    assert fake.done == [("run", "962302#1")]
    release.set()
    await client.stop()


async def test_no_call_is_made_after_the_client_was_stopped(fake: FakeLibrary) -> None:
    """Nor after it."""
    fake.on_run = connected
    client = make(fake)
    await client.start()
    await client.stop()

    with pytest.raises(CallRefused):
        await client.call(fake.round_trip, deadline_s=1)

    assert [what for what, _ in fake.done] == ["run", "disconnect", "stop"]


async def test_a_message_whose_key_cannot_be_made_durable_never_leaves(fake: FakeLibrary) -> None:
    """Whatever fails: the library's thread stays where it is until the client's socket is closed."""
    fake.on_run = connected
    left: list[str] = []

    def fail(_: threading.Event) -> None:
        raise SqliteError(5, "database is locked")

    def leave() -> None:
        fake.callbacks["962302#1"].log("DEBUG", "Client/Send", '<message id="A" to="1@lid">')
        left.append("A")

    client = make(fake, make_durable=fail)
    await client.start()
    thread = threading.Thread(target=leave)
    thread.start()
    thread.join(0.1)
    before = list(left)
    await client.stop()
    await trio.to_thread.run_sync(thread.join, 30.0)

    assert (before, left) == ([], ["A"])


async def test_a_call_that_hangs_is_given_up_at_its_deadline(fake: FakeLibrary) -> None:
    """The caller gets `timeout`; a late answer is discarded."""
    release = threading.Event()
    fake.on_run, fake.on_round_trip = connected, held(release)
    client = make(fake)
    await client.start()

    with pytest.raises(CallRefused) as caught:
        await client.call(fake.round_trip, deadline_s=0.02)

    release.set()
    assert caught.value.code == "timeout"
    await client.stop()


async def test_stuck_calls_hold_a_bounded_number_of_threads(fake: FakeLibrary) -> None:
    """Further calls do not even begin."""
    release = threading.Event()
    fake.on_run, fake.on_round_trip = connected, held(release)
    client = make(fake)
    await client.start()

    async def ping() -> None:
        with pytest.raises(CallRefused):
            await client.call(fake.round_trip, deadline_s=0.05)

    async with trio.open_nursery() as nursery:
        for _ in range(module.CALLS_AT_ONCE + 3):
            nursery.start_soon(ping)
    begun = [what for what, _ in fake.done].count("ping")
    release.set()

    assert begun == module.CALLS_AT_ONCE
    await client.stop()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("websocket not connected", "not_connected"),
        ("the store doesn't contain a device JID", "not_linked"),
        ("no LID found for 79000000009@s.whatsapp.net from server", "no_such_recipient"),
        ("info query timed out", "timeout"),
        ("timed out waiting for message send response", "timeout"),
        ("server returned error 479", "rejected"),
        ("can't send message to unknown server x", "rejected"),
        ("something else", "engine_error"),
    ],
)
async def test_the_librarys_errors_have_codes(fake: FakeLibrary, text: str, code: str) -> None:
    """What a caller can do depends on the code, not on the sentence."""
    fake.on_run, fake.on_round_trip = connected, refuse(text)
    client = make(fake)
    await client.start()

    with pytest.raises(CallRefused) as caught:
        await client.call(fake.round_trip, deadline_s=5)

    assert (caught.value.code, caught.value.text) == (code, text)
    await client.stop()


async def test_events_the_library_still_has_are_kept_before_it_is_stopped(fake: FakeLibrary) -> None:
    """The socket is closed first, events under way are taken, then the client is stopped."""
    order: list[str] = []
    entered, stopped = threading.Event(), threading.Event()

    def store(event: events.Incoming) -> None:
        entered.set()
        stopped.wait(0.2)  # as long as no other code stops the client under it
        order.append("kept")

    def deliver() -> None:
        threading.Thread(target=fake.callback().event, args=(RECEIPT, receipt(fake))).start()
        entered.wait(5)

    def note_stop() -> None:
        order.append("stopped")
        stopped.set()

    fake.on_run, fake.on_disconnect, fake.on_stop = connected, deliver, note_stop
    client = make(fake, store=store)
    await client.start()

    await client.stop()

    assert order == ["kept", "stopped"]


async def test_an_event_that_cannot_be_written_is_tried_until_it_can(
    fake: FakeLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """WhatsApp heard that we have it: a full disk holds the library back instead of losing it, and the company is to leave."""
    monkeypatch.setattr(module, "STORE_RETRY_S", 0)
    attempts: list[str] = []

    def store(event: events.Incoming) -> None:
        attempts.append(event.type)
        if len(attempts) < 3:
            raise OSError(28, "No space left on device")

    fake.on_run = lambda callbacks: callbacks.event(RECEIPT, receipt(fake))
    client = make(fake, store=store)
    await client.start()

    assert await client.signals.get() == Closing("storage_full", text="[Errno 28] No space left on device")
    assert await client.signals.get() == Stored()
    assert attempts == ["receipt"] * 3
    await client.stop()


async def test_an_event_that_cannot_be_read_does_not_stop_the_next(fake: FakeLibrary) -> None:
    """An exception would vanish inside the library, and its text may hold a message."""

    def tell(callbacks: Callbacks) -> None:
        callbacks.event(RECEIPT, b"\xff\xff\xff")
        callbacks.event(3, b"")

    fake.on_run = tell
    client = make(fake)
    await client.start()

    assert await client.signals.get() == events.LoggedIn()
    await client.stop()


@pytest.mark.parametrize("error", ["failed to dial", ""])
async def test_a_library_that_returns_by_itself_is_noticed(fake: FakeLibrary, error: str) -> None:
    """With its error, if it names one."""
    fake.on_run = lambda callbacks: error
    client = make(fake)
    await client.start()

    assert await client.signals.get() == RunEnded(error)
    await client.stop()


async def test_a_client_stuck_in_a_dial_is_left_and_reported(
    fake: FakeLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may still log in one day, so it must not count as gone; the library is not asked to stop it, which would block every client."""
    monkeypatch.setattr(module, "DISCONNECT_S", 0.02)
    release = threading.Event()
    fake.on_run, fake.on_disconnect = connected, held(release)
    client = make(fake)
    await client.start()

    left = await client.stop()

    assert (left, client.has_left, client.has_returned) == (False, False, False)
    assert [what for what, _ in fake.done] == ["run", "disconnect"]
    release.set()
    fake.stop("962302#1")


async def test_a_client_nobody_linked_leaves_its_thread_behind(fake: FakeLibrary) -> None:
    """The library waits for a device for ever; without a socket that does no harm, and the caller does not wait for it."""
    fake.never_returns = True
    fake.on_run = lambda callbacks: callbacks.qr("code")
    client = make(fake, linked=False)
    await client.start()

    left = await client.stop()

    assert (left, client.has_left, client.has_returned) == (True, True, False)
    fake.never_returns = False


async def test_a_goroutine_about_to_end_the_process_is_parked(fake: FakeLibrary) -> None:
    """The refusal is reported, its thread never returns, and the client is not asked to disconnect, which would wait for it."""
    line = "Got 413/cat-expired connect failure, refreshing CAT before reconnecting..."
    fake.on_run = connected
    client = make(fake)
    await client.start()
    await client.signals.get()
    thread = threading.Thread(target=fake.callback().log, args=("INFO", "Client", line), daemon=True)
    thread.start()

    closing = await client.signals.get()
    left = await client.stop()

    assert closing == Closing("connect_failure", 413, "WhatsApp refused the connection")
    assert (left, client.has_left, thread.is_alive()) == (True, True, True)
    assert [what for what, _ in fake.done] == ["run"]
    fake.stop("962302#1")


LOST = ("DEBUG", "Client/Socket", "Frame websocket read pump exiting 0xc000")


async def test_a_client_that_lost_its_socket_dials_no_more(fake: FakeLibrary) -> None:
    """The library's thread, which would dial at once, is held until the client was stopped; the disconnect is reported."""
    client = make(fake)
    await client.start()
    thread = threading.Thread(target=fake.callback().log, args=LOST)
    thread.start()

    closing = await client.signals.get()
    is_held = thread.is_alive()
    left = await client.stop()
    await trio.to_thread.run_sync(thread.join, 30.0)

    assert closing == Closing("disconnected", text="the connection to WhatsApp was lost")
    assert (is_held, left, thread.is_alive()) == (True, True, False)


async def test_what_whatsapp_said_before_the_loss_is_kept(fake: FakeLibrary) -> None:
    """The message is still on its way through the library when the socket is closed already."""
    client = make(fake)
    await client.start()
    thread = threading.Thread(target=fake.callback().log, args=LOST)
    thread.start()
    fake.callback().log("INFO", "Client", "Got 401/logged-out connect failure, sending LoggedOut event")
    first = await client.signals.get()
    await client.stop()
    await trio.to_thread.run_sync(thread.join, 30.0)

    assert first == Closing("logged_out", 401, "WhatsApp logged this device out")


@pytest.mark.parametrize("linked", [False, True])
async def test_a_socket_that_whatsapp_wants_closed_after_linking_is_no_loss(fake: FakeLibrary, linked: bool) -> None:
    """The library dials because it was asked to; once it is logged in, a disconnect counts again."""
    client = make(fake, linked=linked)
    await client.start()
    fake.callback().log("INFO", "Client", "Got 515 code, reconnecting...")
    await trio.to_thread.run_sync(fake.callback().log, *LOST)
    signals = client.signals.get_nowait()
    connected(fake.callback())
    thread = threading.Thread(target=fake.callback().log, args=LOST)
    thread.start()

    assert signals is None
    assert await client.signals.get() == events.LoggedIn()
    assert isinstance(await client.signals.get(), Closing)
    await client.stop()
    await trio.to_thread.run_sync(thread.join, 30.0)


async def test_a_dial_that_ends_after_all_lets_go_of_its_client(
    fake: FakeLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its caller no longer waits, and it is taken down all the same."""
    monkeypatch.setattr(module, "DISCONNECT_S", 0.02)
    release = threading.Event()
    fake.on_run, fake.on_disconnect = connected, held(release)
    client = make(fake)
    await client.start()
    await client.stop()

    release.set()
    with trio.fail_after(patience(5)):
        while not client.has_returned:
            await trio.sleep(0.001)

    assert client.has_left
    assert [what for what, _ in fake.done] == ["run", "disconnect", "stop"]


async def test_an_event_after_the_end_does_not_hold_its_thread_for_ever(fake: FakeLibrary) -> None:
    """Its file is closed: the event is lost, and the log says so."""

    def store(event: events.Incoming) -> None:
        raise OSError(9, "closed")

    client = make(fake, store=store)
    await client.start()
    await client.stop()

    await trio.to_thread.run_sync(fake.callback().event, RECEIPT, receipt(fake))


async def test_a_company_linked_in_this_run_is_waited_for_as_one_that_was_linked(fake: FakeLibrary) -> None:
    """Its last events are taken and its thread returns."""
    fake.on_run = connected
    client = make(fake, linked=False)
    await client.start()
    await client.signals.get()

    await client.stop()

    assert client.has_returned
