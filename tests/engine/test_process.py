"""The engine process itself: how it begins, which connections it accepts, how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
import trio
import trio_websocket

from actors.child_process.exits import CONTROL_LOST, NEVER_CONTROLLED, ORDERLY
from actors.engine.protocol import messages as p
from actors.engine.protocol.versions import LIBRARY_ANNOUNCES
from tests.engine.daemon import ROOT, Record, run_engine
from tests.support.bars import patience
from tests.support.waiting import wait_until

ENVIRONMENT = dict(os.environ)


async def test_it_says_hello_and_counts(tmp_path: Path) -> None:
    """Pid and library version first; statistics on request."""
    async with run_engine(tmp_path, ENVIRONMENT) as engine:
        statistics = await engine.statistics()

        assert engine.hello == p.EngineHello(
            pid=engine.process.pid, neonize="0.5.2", whatsapp_version=LIBRARY_ANNOUNCES
        )
        assert (statistics.companies, statistics.stale_clients, statistics.stuck_clients) == ((), 0, 0)
        assert 20_000_000 < statistics.rss_bytes < 120_000_000
        assert statistics.threads > 1


async def test_it_ends_when_asked(tmp_path: Path) -> None:
    """In order, with status 0, silent on standard output."""
    async with run_engine(tmp_path, ENVIRONMENT) as engine:
        assert engine.control is not None
        await engine.control.send_message(p.encode(p.EngineShutdown()))

        assert await engine.ended() == ORDERLY
        assert engine.process.stdout is not None
        assert engine.process.stdout.read() == b""


def test_what_it_says_is_not_waited_for() -> None:
    """A daemon that does not read blocks no thread of the library: lines are dropped, counted, and their number is logged afterwards."""
    code = (
        "from actors.engine.process import unblock_stderr; from actors.engine.logs import EngineLog; unblock_stderr()"
    )
    code += "; log = EngineLog('962302', clock=lambda: 0.0)"
    code += "; [EngineLog().note(f'line {number} ' + 'x ' * 250) for number in range(5000)]"
    code += "; [log.note('x ' * 250) for number in range(100)]; print('full', flush=True); input(); log.note('and then'); print('done')"
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with process:
        assert process.stdin is not None
        assert process.stderr is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"full\n"
        os.set_blocking(process.stderr.fileno(), False)
        said = process.stderr.read()
        os.set_blocking(process.stderr.fileno(), True)
        process.stdin.write(b"\n")
        process.stdin.flush()
        said += process.stderr.read()
        assert process.stdout.read() == b"done\n"

    lines = [msgspec.json.decode(line) for line in said.splitlines()]
    lost = lines[-2]["lost"]
    assert [line["text"] for line in lines[-2:]] == [f"{lost} lines were lost", "and then"]
    assert [line["company"] for line in lines].count("962302") - 2 == 100 - lost
    assert lost > 90


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_ends_in_order_on_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    """systemd and terminals stop a process that way."""
    async with run_engine(tmp_path, ENVIRONMENT) as engine:
        engine.process.send_signal(number)

        assert await engine.ended() == ORDERLY


async def test_it_ends_when_the_control_connection_is_lost(tmp_path: Path) -> None:
    """No daemon would watch it any more."""
    async with run_engine(tmp_path, ENVIRONMENT) as engine:
        assert engine.control is not None
        await engine.control.aclose()

        assert await engine.ended() == CONTROL_LOST


async def test_it_ends_when_nobody_takes_control(tmp_path: Path) -> None:
    """Its parent may have died between starting it and connecting."""
    async with run_engine(tmp_path, ENVIRONMENT, "--control-within", "0.2", controlled=False) as engine:
        assert await engine.ended() == NEVER_CONTROLLED


async def test_n4_it_dies_with_its_parent(tmp_path: Path) -> None:
    """kill -9 of the daemon leaves no engine behind, even one without a connection yet."""
    arguments = [
        "-m",
        "actors.engine.process",
        "--socket",
        str(tmp_path / "e.sock"),
        "--devices",
        str(tmp_path / "devices"),
    ]
    parent = f"import subprocess,sys,time; print(subprocess.Popen([sys.executable,*{arguments!r}]).pid, flush=True); time.sleep(60)"
    with subprocess.Popen(  # noqa: ASYNC220 - as the daemon does it
        [sys.executable, "-c", parent], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        with trio.fail_after(patience(10)):
            while not (tmp_path / "e.sock").exists():
                await trio.sleep(0.01)
        descriptor = os.pidfd_open(child)
        process.kill()

        with trio.fail_after(patience(5)):
            await trio.lowlevel.wait_readable(descriptor)
        os.close(descriptor)


async def test_it_refuses_a_parent_that_is_not_its_own(tmp_path: Path) -> None:
    """The daemon that started it may have died before it could ask the kernel for a signal at its death."""
    async with run_engine(tmp_path, ENVIRONMENT, "--parent", "1", controlled=False) as engine:
        assert await engine.ended() == CONTROL_LOST


async def test_unknown_resources_are_refused(tmp_path: Path) -> None:
    """404, and everything else goes on."""
    paths = ["/", "/company/", "/company/a%20b", "/company/../x", "/company/" + "x" * 65, "/controls"]
    async with run_engine(tmp_path, ENVIRONMENT) as engine:
        answers = [await http_answer(tmp_path / "engine.sock", path) for path in paths]

        assert [answer[:13] for answer in answers] == [b"HTTP/1.1 404 "] * len(paths)
        assert (await engine.statistics()).companies == ()


async def http_answer(socket: Path, path: str) -> bytes:
    """The process's response to a WebSocket upgrade for ``path``."""
    async with await trio.open_unix_socket(str(socket)) as stream:
        await stream.send_all(
            f"GET {path} HTTP/1.1\r\nHost: engine\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        with trio.fail_after(patience(5)):
            return bytes(await stream.receive_some())


async def test_a_frame_that_is_no_message_ends_only_its_connection(tmp_path: Path) -> None:
    """The process and its other connections go on."""
    frames = [b"", b"\xff\xff", b"not a message", p.encode(p.EngineHello(pid=1, neonize="x"))]
    async with run_engine(tmp_path, ENVIRONMENT) as engine:
        for frame in frames:
            socket = await engine.connect("/company/962302")
            await socket.send_message(frame)
            with pytest.raises(trio_websocket.ConnectionClosed), trio.fail_after(patience(5)):
                await socket.get_message()

        assert (await engine.statistics()).companies == ()


async def test_the_first_message_must_be_open_for_the_company_of_the_path(tmp_path: Path) -> None:
    """One company's connection is never used for another."""
    async with run_engine(tmp_path, ENVIRONMENT) as engine:
        link = await engine.link("962302")
        await link.send(p.Open(company_id="962303", file_id=None, position=0))

        with pytest.raises(trio_websocket.ConnectionClosed), trio.fail_after(patience(5)):
            await link.receive()


async def test_a_company_is_opened_unlinked_and_found_again(tmp_path: Path) -> None:
    """A new file announces itself; the same file is taken up the next time."""
    async with run_engine(tmp_path, ENVIRONMENT) as engine:
        first = await engine.link("962302")
        opened = await first.open(None)
        base = await first.hear(p.JournalDelta)
        await first._socket.aclose()
        second = await engine.link("962302", first.record)
        again = await second.open(None)

    assert (opened.rebuilt, opened.jid, opened.position) == (True, None, 0)
    assert base == p.JournalDelta(position=0, creds=None, keys=(), base=True)
    assert (again.rebuilt, again.file_id) == (False, opened.file_id)


async def test_a_file_of_another_life_is_rebuilt(tmp_path: Path) -> None:
    """And so is a discarded file; the reason is named."""
    async with run_engine(tmp_path, ENVIRONMENT) as engine:
        first = await engine.link("962302")
        opened = await first.open(None)
        await first.hear(p.JournalDelta)
        await first._socket.aclose()
        for record, changes, reason in ((Record(), {}, "foreign"), (first.record, {"discard_file": True}, "discarded")):
            link = await engine.link("962302", record)
            rebuilt = await link.open(None, **changes)
            needed = next(said for said in link.said if isinstance(said, p.NeedAuthState))
            await link._socket.aclose()

            assert (needed.reason, rebuilt.rebuilt) == (reason, True)
            assert rebuilt.file_id != opened.file_id


async def test_creds_that_cannot_be_used_are_refused_and_change_nothing(tmp_path: Path) -> None:
    """The company stays closed with a reason, the old file stays as it was."""
    async with run_engine(tmp_path, ENVIRONMENT) as engine:
        first = await engine.link("962302")
        await first.open(None)
        await first._socket.aclose()
        # Closing writes the file's log back into it.
        await wait_until(lambda: not (tmp_path / "devices" / "962302.db-wal").exists())
        before = (tmp_path / "devices" / "962302.db").read_bytes()
        link = await engine.link("962302")
        await link.send(p.Open(company_id="962302", file_id=None, position=0))
        await link.hear(p.NeedAuthState)
        await link.send(p.AuthStateChunk(creds=b'{"me":{"id":"x"}}', keys=(), last=True))
        refused = await link.hear(p.OpenRefused)

    assert refused.code == "bad_auth_state"
    assert "creds" in refused.text
    assert (tmp_path / "devices" / "962302.db").read_bytes() == before


async def test_a_full_engine_refuses_another_company(tmp_path: Path) -> None:
    """With a code that the daemon can act on."""
    async with run_engine(tmp_path, ENVIRONMENT, "--max-companies", "1") as engine:
        await (await engine.link("962302")).open(None)
        link = await engine.link("962303")
        refused = await link.hear(p.OpenRefused)

    assert refused.code == "engine_full"


async def test_a_connection_waits_until_the_one_before_it_is_gone(tmp_path: Path) -> None:
    """A restarted company actor connects while its predecessor's client is still being stopped."""
    async with run_engine(tmp_path, ENVIRONMENT) as engine:
        first = await engine.link("962302")
        await first.open(None)
        await first.hear(p.JournalDelta)
        second = await engine.link("962302", first.record)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(second.open, None)
            await trio.testing.wait_all_tasks_blocked(0.05)
            early = len(second.said)
            await first._socket.aclose()

    assert early == 0
    assert [type(said).__name__ for said in second.said] == ["Opened"]


async def test_a_proxy_that_refuses_is_an_ending(tmp_path: Path) -> None:
    """No network: one `Closed` with the reason, and the next attempt may follow."""
    async with run_engine(tmp_path, ENVIRONMENT) as engine:
        link = await engine.link("962302")
        await link.open("http://127.0.0.1:1")
        for _ in range(2):
            assert await link.call(p.Connect) == p.Done(call=link._call)
            closed = await link.hear(p.Closed)
            assert closed.kind == "pairing_failed"
            assert "connection refused" in closed.text

        assert (await engine.statistics()).stale_clients == 2


def test_it_loads_nothing_that_belongs_to_the_daemon() -> None:
    """Memory is per process: no web framework, no database driver, no supervisor, and of neonize only protobufs."""
    program = "import actors.engine.running, actors.engine.whatsmeow.library as l, sys; l.load_protobufs(); print(' '.join(sys.modules))"
    found = subprocess.run([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True)

    modules = {name.split(".")[0] for name in found.stdout.split()}
    assert modules.isdisjoint(
        {
            "asyncpg",
            "uvloop",
            "litestar",
            "hypercorn",
            "pydantic",
            "structlog",
            "supervisor",
            "magic",
            "PIL",
            "phonenumbers",
        }
    )
    assert not {"neonize.client", "neonize._binder", "actors.messages", "storage.database.pool"} & set(
        found.stdout.split()
    )
