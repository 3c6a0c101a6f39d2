"""Commands that ask the daemon once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import trio

from tests.cli.terminal import Terminal, running
from tests.http.fakes import Company
from tests.http.world import A_KEY, ADMIN_KEY, COMPANY_A, Daemon, until


async def test_sessions(terminal: Terminal) -> None:
    """A table for people, the API's fields for scripts."""
    table = await terminal.run("sessions")
    as_json = await terminal.run("sessions", "--json")

    assert [line.split() for line in table.lines] == [
        ["COMPANY", "STATUS", "CONNECTED", "HEALTH"],
        ["962302", "connected", "yes", "healthy"],
        ["962303", "connected", "yes", "healthy"],
    ]
    assert as_json.json["count"] == 2
    assert as_json.json["sessions"][0] == {
        "companyId": "962302",
        "connected": True,
        "status": "connected",
        "health": "healthy",
    }


async def test_all_pages_of_sessions(terminal: Terminal, daemon: Daemon) -> None:
    """More than a page of companies is still one list."""
    for number in range(1001):
        daemon.world.companies[f"c{number:04}"] = Company(f"c{number:04}")

    ended = await terminal.run("sessions", "--json")

    assert ended.json["count"] == 1003
    assert len({session["companyId"] for session in ended.json["sessions"]}) == 1003


async def test_no_sessions_yet(terminal: Terminal, daemon: Daemon) -> None:
    """The output says what to do."""
    daemon.world.companies.clear()

    assert (await terminal.run("sessions")).lines == ["no company yet; link the first with: wasup link COMPANY"]


async def test_send(terminal: Terminal, daemon: Daemon) -> None:
    """The message arrives at the company with the number as WhatsApp needs it."""
    ended = await terminal.run("send", "962302", "8 900 000-00-01", "hello")
    as_json = await terminal.run("send", "962302", "+79000000001", "-", "--json", stdin="two\nlines\n")

    assert (ended.code, as_json.code) == (0, 0)
    assert ended.out.startswith("sent 3EB0")
    assert as_json.json["companyId"] == "962302"
    sent = daemon.world.companies[COMPANY_A].sent
    assert [message.text for message in sent] == ["hello", "two\nlines"]
    assert {message.to for message in sent} == {"79000000001@s.whatsapp.net"}


async def test_send_once(terminal: Terminal, daemon: Daemon) -> None:
    """A repeat with the same idempotency key sends nothing and gets the same answer."""
    words = ("send", "962302", "79000000001", "hello", "--idempotency-key", "order-1", "--json")

    first, second = await terminal.run(*words), await terminal.run(*words)

    assert first.json["messageId"] == second.json["messageId"]
    assert len(daemon.world.companies[COMPANY_A].sent) == 1


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("962399", "79000000001", "x"), 6, "there is no such company"),
        (("962302", "12", "x"), 6, "phone"),
        (("962302", "79000000001", "x" * 4097), 6, "4096"),
        (("962302", "79000000001", "x", "--key", "wasup_wrong_key_0000000000000000"), 5, "API key"),
        (("962303", "79000000001", "x", "--key", A_KEY), 5, "not for this company"),
        (("962302", "79000000001", "x", "--key", "bad key"), 5, "characters that no key has"),
    ],
)
async def test_refused_sends(terminal: Terminal, daemon: Daemon, words: tuple[str, ...], code: int, said: str) -> None:
    """Each refusal is the daemon's sentence and an exit code for its kind; nothing is sent."""
    ended = await terminal.run("send", *words)

    assert ended.code == code
    assert said in ended.err
    assert len(ended.err.splitlines()) == 1
    assert ended.out == ""
    assert daemon.world.companies[COMPANY_A].sent == []


async def test_too_many_sends(terminal: Terminal, daemon: Daemon) -> None:
    """A refusal that passes says when to try again."""
    daemon.world.limit = 0

    ended = await terminal.run("send", "962302", "79000000001", "x")

    assert ended.code == 7
    assert "(try again in 42 s)" in ended.err


async def test_no_daemon(bare_terminal: Terminal) -> None:
    """Exit code 4, the address that was tried, and what to do."""
    with trio.socket.socket() as unused:
        await unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        ended = await bare_terminal.run("sessions", "--key", ADMIN_KEY, "--url", f"http://127.0.0.1:{port}")

    assert ended.code == 4
    assert f"no daemon answers at http://127.0.0.1:{port}" in ended.err
    assert "`wasup run`" in ended.err


async def test_something_else_answers(bare_terminal: Terminal, nursery: trio.Nursery) -> None:
    """An address with another server behind it is named as that."""

    async def serve(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some()
            await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")

    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    nursery.start_soon(trio.serve_listeners, serve, [listener])
    port = listener.socket.getsockname()[1]

    ended = await bare_terminal.run("sessions", "--key", ADMIN_KEY, "--url", f"http://127.0.0.1:{port}")

    assert ended.code == 1
    assert "is not wasup" in ended.err


async def test_the_environment_s_proxy_is_not_for_this_machine(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A daemon on loopback is reached directly, whatever HTTP_PROXY says."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    assert (await terminal.run("sessions")).code == 0


async def test_tree(terminal: Terminal) -> None:
    """Every actor on its line, below its supervisor; JSON as the API has it."""
    drawn = await terminal.run("tree")
    as_json = await terminal.run("tree", "--json")

    assert drawn.lines[0].startswith("/  running")
    assert [line.partition("  running")[0] for line in drawn.lines] == [
        "/",
        "├─ events",
        "├─ limiter",
        "├─ companies",
        "│  ├─ 962302",
        "│  └─ 962303",
        "├─ directory",
        "├─ health",
        "└─ http",
    ]
    assert as_json.json["path"] == "/"


async def test_watching_the_tree(terminal: Terminal, daemon: Daemon) -> None:
    """--watch looks again and again; it ends when the daemon goes away."""
    async with running(terminal, "tree", "--watch", "--interval", "0.1", "--json") as ended:
        await until(lambda: terminal.shown.count("\n") >= 3)
        await daemon.system.stop()

    assert ended[0].code == 4
    assert {document["path"] for document in ended[0].documents} == {"/"}


def test_nothing_of_the_client_is_needed_by_the_daemon(tmp_path: Path) -> None:
    """`wasup run` does not load the client's libraries, nor `wasup check-config` the daemon's."""
    code = (
        "import sys; from actors.main import main; main(['check-config']);"
        "print([name for name in ('httpx', 'trio', 'asyncpg', 'litestar', 'neonize') if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        env={"PATH": "/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stderr == "[]\n"
