"""Real clients against the loopback WhatsApp: linking, talking, dying and coming back."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from actors.engine.protocol import messages as p
from tests.engine.companies import LIDS, A, B, both_linked, both_taken_up, linked, say, talk, two_companies
from tests.engine.daemon import Link, run_engine
from tests.loopback.server import open_loopback
from tests.support.bars import patience


async def test_two_companies_link_and_talk(tmp_path: Path) -> None:
    """QR, log-in, a message, a reply that quotes it, a ping: with both forms of every id, and every change in the record first."""
    async with two_companies(tmp_path) as (_, _, first, second):
        sent = await say(first, f"{B}@s.whatsapp.net", "question")
        message = await second.hear_message()
        quoted = p.QuotedMessage(message_id=message["messageId"], sender=f"{A}@s.whatsapp.net", text="question")
        await say(second, f"{A}@s.whatsapp.net", "answer", quoted=quoted)
        reply = await first.hear_message()
        ping = await first.call(p.Ping)

    assert isinstance(ping, p.Done)
    assert message["messageId"] == sent.message_id
    assert message["chat"] == {
        "id": f"{LIDS[A]}@lid",
        "pn": f"{A}@s.whatsapp.net",
        "lid": f"{LIDS[A]}@lid",
        "kind": "user",
    }
    assert (reply["text"], reply["quotedId"]) == ("answer", sent.message_id)
    assert {"pre-key", "identity-key", "whatsmeow-session", "lid-mapping"} <= first.record.types()
    assert json.loads(first.record.creds or b"")["me"]["id"] == f"{A}:1@s.whatsapp.net"


async def test_a_company_links_by_code(tmp_path: Path) -> None:
    """The code is asked for while a QR is on offer, and the phone confirms it."""
    async with open_loopback() as loopback, run_engine(tmp_path, loopback.endpoints.environment()) as engine:
        phone = loopback.add_account(A, LIDS[A], "a")
        link = await engine.link("a")
        await link.open(loopback.endpoints.proxy_url)
        await link.call(p.Connect)
        await link.hear(p.Qr)
        answer = await link.call(p.RequestPairingCode, phone=A)
        await phone.confirm_code(answer.code)

        assert (await link.hear(p.Connected)).jid == f"{A}:1@s.whatsapp.net"


async def test_a_killed_engine_goes_on_where_it_was(tmp_path: Path) -> None:
    """kill -9 in the middle of traffic: the same files, no QR, the tail of the journal first, and the very next messages decrypt."""
    async with open_loopback() as loopback:
        environment = loopback.endpoints.environment()
        async with run_engine(tmp_path, environment) as engine:
            first, second = await both_linked(engine, loopback)
            await talk(first, second, "before")
            await receive_unconfirmed(first, second)
            committed = first.record.position
            engine.process.kill()
        async with run_engine(tmp_path, environment) as engine:
            first, second = await both_taken_up(engine, loopback, first, second)
            caught_up = first.record.position
            assert (await first.hear_message())["text"] == "unconfirmed"
            await talk(first, second, "after")

        assert not any(isinstance(said, p.NeedAuthState | p.Qr) for said in first.said + second.said)
        assert caught_up > committed
        assert loopback.journal.counters.pairings == 2


async def receive_unconfirmed(receiver: Link, sender: Link) -> None:
    """Receive a message without the record taking what it changed: the receiver's next sending chain among it."""
    receiver.acknowledges = False
    await say(sender, f"{A}@s.whatsapp.net", "unconfirmed")
    await receiver.hear(p.JournalDelta)
    assert (await receiver.hear_message())["text"] == "unconfirmed"


async def test_a_message_leaves_when_its_key_is_in_the_record(tmp_path: Path) -> None:
    """Not before: it waits in the library until the record has the chain that encrypted it."""
    async with two_companies(tmp_path) as (loopback, _, first, second):
        await talk(first, second, "before")
        await receive_unconfirmed(first, second)
        messages = loopback.counters()["messages"]
        await first.send(p.SendText(call=999, to=f"{B}@s.whatsapp.net", text="waits"))
        assert isinstance(await first.call(p.Ping), p.Done)
        assert isinstance(await second.call(p.Ping), p.Done)
        assert loopback.counters()["messages"] == messages
        for delta in [said for said in first.said if isinstance(said, p.JournalDelta)]:
            if delta.position > first.record.position:
                first.record.commit(first.record.file_id or "", delta)
                await first.send(p.Committed(position=delta.position))
        first.acknowledges = True

        assert isinstance(await first.hear(p.Sent, p.Failed), p.Sent)
        assert (await second.hear_message())["text"] == "waits"


async def test_files_lost_in_the_middle_of_a_send_cost_no_later_message(tmp_path: Path) -> None:
    """kill -9 while a message waits for its key to be stored, all files deleted: no key is used twice, so the very next message is read."""
    async with open_loopback() as loopback:
        environment = loopback.endpoints.environment()
        async with run_engine(tmp_path, environment) as engine:
            first, second = await both_linked(engine, loopback)
            await talk(first, second, "before")
            await receive_unconfirmed(first, second)
            await first.send(p.SendText(call=999, to=f"{B}@s.whatsapp.net", text="never leaves"))
            assert isinstance(await first.call(p.Ping), p.Done)
            engine.process.kill()
        shutil.rmtree(tmp_path / "devices")
        async with run_engine(tmp_path, environment) as engine:
            first, second = await both_taken_up(engine, loopback, first, second)
            await talk(first, second, "after")

        assert loopback.counters()["retry_receipts"] == 0


def _delete(devices: Path) -> None:
    shutil.rmtree(devices)


def _empty(devices: Path) -> None:
    for path in devices.glob("*.db"):
        path.write_bytes(b"")
        for side in devices.glob(f"{path.name}-*"):
            side.unlink()


def _replace_by_directories(devices: Path) -> None:
    for path in list(devices.iterdir()):
        path.unlink()
        if path.suffix == ".db":
            path.mkdir()


@pytest.mark.parametrize(
    ("harm", "reason"), [(_delete, "missing"), (_empty, "damaged"), (_replace_by_directories, "damaged")]
)
async def test_lost_device_files_are_rebuilt_from_the_record(
    tmp_path: Path, harm: Callable[[Path], None], reason: str
) -> None:
    """kill -9, all files deleted, emptied, or directories in their places: no QR, the Signal sessions go on in both directions without
    one retry."""
    async with open_loopback() as loopback:
        environment = loopback.endpoints.environment()
        async with run_engine(tmp_path, environment) as engine:
            first, second = await both_linked(engine, loopback)
            await talk(first, second, "before")
            engine.process.kill()
        harm(tmp_path / "devices")
        async with run_engine(tmp_path, environment) as engine:
            first, second = await both_taken_up(engine, loopback, first, second)
            await talk(first, second, "after")
            await talk(first, second, "and again")

        receipts = [
            json.loads(said.payload)["kind"]
            for said in first.said + second.said
            if isinstance(said, p.OutboxEvent) and said.type == "receipt"
        ]
        assert [said.reason for said in first.said if isinstance(said, p.NeedAuthState)] == [reason]
        assert "retry" not in receipts
        assert loopback.journal.counters.pairings == 2


async def test_an_event_nobody_stored_comes_again(tmp_path: Path) -> None:
    """WhatsApp will not send the message again, so the event spool does, after a kill -9 too."""
    async with open_loopback() as loopback:
        environment = loopback.endpoints.environment()
        async with run_engine(tmp_path, environment) as engine:
            first, second = await both_linked(engine, loopback)
            second.acknowledges = False
            await say(first, f"{B}@s.whatsapp.net", "keep this")
            await second.hear_message()
            engine.process.kill()
        async with run_engine(tmp_path, environment) as engine:
            link = await engine.link("b", second.record)
            await link.open(loopback.endpoints.proxy_url)

            assert (await link.hear_message())["text"] == "keep this"


async def test_one_companys_connection_ends_and_the_other_never_notices(tmp_path: Path) -> None:
    """Closing a company's connection closes its WhatsApp client, and only that."""
    async with two_companies(tmp_path) as (loopback, engine, first, second):
        await first._socket.aclose()
        await loopback.journal.wait_until(lambda: loopback.connections() == 1)

        assert isinstance(await second.call(p.Ping), p.Done)
        with trio.fail_after(patience(5)):
            while (await engine.statistics()).companies != ("b",):
                await trio.sleep(0.01)
        assert not any(isinstance(said, p.Closed) for said in second.said)


async def test_a_company_leaves_and_comes_back(tmp_path: Path) -> None:
    """`Disconnect` is answered when everything is shipped; a later `Connect` logs in again."""
    async with two_companies(tmp_path) as (loopback, _, first, second):
        assert isinstance(await first.call(p.Disconnect), p.Done)
        await loopback.journal.wait_until(lambda: loopback.connections() == 1)
        await first.call(p.Connect)
        await first.hear(p.Connected)

        await talk(first, second, "again")


async def test_whatsapps_endings_are_told_and_leave_the_company_usable(tmp_path: Path) -> None:
    """Replaced, dropped, refused with every code, also the one that Go cannot survive: one `Closed` each, and then a log-in works."""
    async with open_loopback() as loopback, run_engine(tmp_path, loopback.endpoints.environment()) as engine:
        link = await linked(engine, loopback, "a", A)
        found: list[tuple[str, int]] = []
        ends: list[Callable[[], object]] = [
            lambda: loopback.replace(A), lambda: loopback.drop(A), lambda: loopback.stream_error(516, A),
        ]  # fmt: skip
        for end in ends:
            end()
            closed = await link.hear(p.Closed)
            found.append((closed.kind, closed.code))
            await link.call(p.Connect)
            await link.hear(p.Connected)
        await link.call(p.Disconnect)
        for code in (405, 409, 411, 413, 500, 503):
            loopback.refuse(code, times=1)
            await link.call(p.Connect)
            closed = await link.hear(p.Closed)
            found.append((closed.kind, closed.code))
        loopback.heal()
        loopback.ban(A, 60)
        await link.call(p.Connect)
        banned = await link.hear(p.Closed)
        loopback.heal()
        await link.call(p.Connect)
        await link.hear(p.Connected)

    assert found == [
        ("replaced", 0), ("disconnected", 0), ("stream_error", 516), ("outdated", 405), ("connect_failure", 409), ("connect_failure", 411),
        ("connect_failure", 413), ("disconnected", 500), ("disconnected", 503),
    ]  # fmt: skip
    assert (banned.kind, banned.code, banned.expires_in_s) == ("temporary_ban", 402, 60)


async def test_a_lost_connection_is_not_replaced_before_the_daemon_says_so(tmp_path: Path) -> None:
    """The library would dial at once, and could not be stopped in that dial: all clients dropped together would be in one."""
    async with open_loopback() as loopback, run_engine(tmp_path, loopback.endpoints.environment()) as engine:
        link = await linked(engine, loopback, "a", A)
        before = loopback.journal.counters.connections
        loopback.drop(A)
        await link.hear(p.Closed)
        statistics = await engine.statistics()

        assert (loopback.journal.counters.connections, statistics.stuck_clients) == (before, 0)
        await link.call(p.Connect)
        await link.hear(p.Connected)
        assert loopback.journal.counters.connections == before + 1


async def test_a_removed_device_is_logged_out_and_its_record_untouched(tmp_path: Path) -> None:
    """whatsmeow deletes its rows at once; the record keeps them, and opening the file again reports the end again."""
    async with open_loopback() as loopback, run_engine(tmp_path, loopback.endpoints.environment()) as engine:
        link = await linked(engine, loopback, "a", A)
        keys, creds = dict(link.record.keys), link.record.creds
        loopback.remove_device(A, 1)
        closed = await link.hear(p.Closed)
        await link._socket.aclose()
        again = await engine.link("a", link.record)
        opened = await again.open(loopback.endpoints.proxy_url)
        told = await again.hear(p.Closed)
        await again._socket.aclose()

    assert (closed.kind, closed.code) == (told.kind, told.code) == ("logged_out", 401)
    assert (opened.rebuilt, opened.jid) == (False, None)
    assert (link.record.keys, link.record.creds) == (keys, creds)


async def test_a_log_out_on_request_unlinks_at_whatsapp(tmp_path: Path) -> None:
    """The phone no longer lists the device."""
    async with open_loopback() as loopback, run_engine(tmp_path, loopback.endpoints.environment()) as engine:
        link = await linked(engine, loopback, "a", A)

        assert isinstance(await link.call(p.Logout), p.Done)
        await loopback.journal.wait_until(
            lambda: not any(str(device).startswith(f"{A}:1@") for device in loopback.devices())
        )


async def test_unsent_codes_that_ran_out_end_the_offer(tmp_path: Path) -> None:
    """The library would wait for ever."""
    async with open_loopback() as loopback, run_engine(tmp_path, loopback.endpoints.environment()) as engine:
        link = await engine.link("a")
        await link.open(loopback.endpoints.proxy_url)
        await link.call(p.Connect)
        await link.hear(p.Qr)
        loopback.expire_qr()
        closed = await link.hear(p.Closed)

        assert closed.kind == "pairing_failed"


async def test_a_frozen_whatsapp_is_answered_with_a_timeout_and_holds_nobody_up(tmp_path: Path) -> None:
    """A company whose connection is half open cannot block another one."""
    async with two_companies(tmp_path) as (loopback, _, first, second):
        loopback.freeze(A)
        await first.send(p.Ping(call=99, timeout_s=0.5))
        assert isinstance(await second.call(p.Ping), p.Done)
        with trio.fail_after(patience(15)):
            while getattr(answer := await first.receive(), "call", None) != 99:
                pass

    assert isinstance(answer, p.Failed)
    assert answer.code == "timeout"


async def test_a_shutdown_under_traffic_is_quick_and_loses_nothing(tmp_path: Path) -> None:
    """SIGTERM: what was sent is in the record, exit 0 within three seconds, nothing printed, and the next process goes on."""
    async with open_loopback() as loopback:
        environment = loopback.endpoints.environment()
        async with run_engine(tmp_path, environment) as engine:
            first, second = await both_linked(engine, loopback)
            await talk(first, second, "before")
            engine.process.send_signal(signal.SIGTERM)
            with trio.fail_after(patience(3)):
                assert await engine.ended() == 0
            assert engine.process.stdout is not None
            assert engine.process.stdout.read() == b""
        async with run_engine(tmp_path, environment) as engine:
            first, second = await both_taken_up(engine, loopback, first, second)
            await talk(first, second, "after")


async def test_no_secret_reaches_standard_error(tmp_path: Path) -> None:
    """Linking, talking and a refusal leave neither code nor number nor text in the log."""
    async with two_companies(tmp_path) as (loopback, _, first, second):
        await talk(first, second, "confidential")
        await say_to_nobody(first)
        loopback.drop(A)
        await first.hear(p.Closed)
    log = (tmp_path / "engine.log").read_text()

    assert log != ""
    assert not any(secret in log for secret in (A, B, LIDS[A], LIDS[B], "confidential", "wa.me"))


async def say_to_nobody(link: Link) -> None:
    """Have a send refused by WhatsApp."""
    answer = await link.call(p.SendText, to="79000000099@s.whatsapp.net", text="confidential")
    assert isinstance(answer, p.Failed)
    assert answer.code == "no_such_recipient"


async def test_a_device_linked_while_postgres_was_away_is_not_lost(tmp_path: Path) -> None:
    """Nothing of the file was ever committed; only the file has creds, Postgres has none: it is kept, announced and shipped."""
    async with open_loopback() as loopback:
        environment = loopback.endpoints.environment()
        async with run_engine(tmp_path, environment) as engine:
            phone = loopback.add_account(A, LIDS[A], "a")
            link = await engine.link("a")
            link.acknowledges = False
            await link.open(loopback.endpoints.proxy_url)
            await link.call(p.Connect)
            await phone.scan((await link.hear(p.Qr)).codes[0])
            await link.hear(p.Connected)
            engine.process.kill()
        async with run_engine(tmp_path, environment) as engine:
            again = await engine.link("a")
            opened = await again.open(loopback.endpoints.proxy_url)
            await again.call(p.Connect)
            await again.hear(p.Connected)

        assert (opened.rebuilt, opened.jid) == (True, f"{A}:1@s.whatsapp.net")
        assert again.record.creds is not None
        assert "pre-key" in again.record.types()
        assert loopback.journal.counters.pairings == 1
