"""Which address a command gives a key to: the holder of the state directory, or the address that came with the key."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest
import trio

from config.state import Running, announce, hold_state_dir
from tests.cli.terminal import Ended, Terminal
from tests.cli.terminal import running as running_command
from tests.http.world import ADMIN_KEY, Daemon, running, until


class Listener:
    """Another user's program on the daemon's port: keeps everything it receives."""

    def __init__(self, listener: trio.SocketListener) -> None:
        self._listener = listener
        self.heard = b""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.socket.getsockname()[1]}"

    async def serve(self, stream: trio.SocketStream) -> None:
        async with stream:
            self.heard += await stream.receive_some()
            await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")


@pytest.fixture
async def stranger(nursery: trio.Nursery) -> Listener:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    found = Listener(listener)
    nursery.start_soon(trio.serve_listeners, found.serve, [listener])
    return found


@pytest.fixture
def state(bare_terminal: Terminal) -> Terminal:
    """A terminal beside a state directory with an admin key in it."""
    bare_terminal.state_dir.mkdir(mode=0o700)
    (bare_terminal.state_dir / "admin.key").write_text(f"{ADMIN_KEY}\n")
    return bare_terminal


@asynccontextmanager
async def beside_daemon(terminal: Terminal, url: str | None = None) -> AsyncIterator[Daemon]:
    """A daemon that holds the terminal's state directory and announces itself at ``url``, or where it is."""
    with hold_state_dir(terminal.state_dir):
        (terminal.state_dir / "run").mkdir(mode=0o700, exist_ok=True)
        async with running(local_socket=terminal.state_dir / "run" / "api.sock") as daemon:
            announce(terminal.state_dir, Running(pid=os.getpid(), url=url or daemon.url, socket="run/api.sock"))
            yield daemon


@contextmanager
def dead_daemon(terminal: Terminal, url: str) -> Iterator[None]:
    """The leftovers of a killed daemon: its announcement and its socket, and no lock."""
    (terminal.state_dir / "run").mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(terminal.state_dir / "run" / "api.sock"))
    announce(terminal.state_dir, Running(pid=os.getpid(), url=url, socket="run/api.sock"))
    yield


def refused(ended: Ended, said: str) -> None:
    assert ended.code == 4, ended.err
    assert said in ended.err
    assert len(ended.err.splitlines()) == 1


async def test_beside_a_running_daemon_no_option_is_needed(state: Terminal) -> None:
    """Address and key come from the state directory, for requests and for the stream of events."""
    async with beside_daemon(state) as daemon:
        listed = await state.run("sessions")
        async with running_command(state, "events", "--follow", "--limit", "1") as ended:
            await until(lambda: daemon.world.hub.subscriptions > 0)
            daemon.world.publish("962302", "status", status="connected", previous=None, reason="")

    assert (listed.code, ended[0].code) == (0, 0), listed.err
    assert "962302" in listed.out
    assert "962302" in ended[0].out


async def test_the_key_goes_to_the_holder_of_the_state_directory_not_to_its_port(
    state: Terminal, stranger: Listener
) -> None:
    """Another program may have got the port, for instance while HTTP restarted: it receives nothing."""
    async with beside_daemon(state, url=stranger.url):
        ended = await state.run("sessions")

    assert ended.code == 0, ended.err
    assert stranger.heard == b""


@pytest.mark.parametrize("words", [(), ("--key", ADMIN_KEY)])
async def test_while_the_daemon_is_down_its_port_gets_no_key(
    state: Terminal, stranger: Listener, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the state directory's key nor one that was given without an address."""
    monkeypatch.setenv("WASUP_BIND", stranger.url.removeprefix("http://"))

    refused(await state.run("sessions", *words), "does not run; start it with `wasup run`")
    with dead_daemon(state, stranger.url):
        refused(await state.run("sessions", *words), "does not run; start it with `wasup run`")
    assert stranger.heard == b""


async def test_a_daemon_that_is_starting(state: Terminal) -> None:
    """It holds the state directory and serves nothing yet."""
    with hold_state_dir(state.state_dir):
        refused(await state.run("sessions"), "is starting: try again in a moment")


async def test_the_state_directorys_key_is_for_no_other_address(state: Terminal, stranger: Listener) -> None:
    """A given address gets the key that was given with it, or none."""
    async with beside_daemon(state) as daemon:
        refused(await state.run("sessions", "--url", stranger.url), "give --key")
        own = await state.run("sessions", "--url", daemon.url.replace("127.0.0.1", "localhost") + "/")
        assert stranger.heard == b""
        given = await state.run("sessions", "--url", stranger.url, "--key", "wasup_another_key_00000000")

    assert own.code == 0, own.err
    assert b"wasup_another_key_00000000" in stranger.heard
    assert (given.code, "is not wasup" in given.err) == (1, True)


async def test_a_socket_in_a_directory_that_others_may_write_to(state: Terminal) -> None:
    """It may be theirs."""
    async with beside_daemon(state):
        (state.state_dir / "run").chmod(0o777)
        refused(await state.run("sessions"), "others may write to its directory")
        (state.state_dir / "run").chmod(0o700)
