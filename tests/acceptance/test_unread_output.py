"""Standard output that is not read, as by a terminal after Ctrl-S: it holds up neither the daemon nor its engines nor its end."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import trio

from config.state import find_running
from tests.support.daemon import PROGRAM
from tests.support.eventually import eventually

PIPE_BYTES = 4096
QUEUE_BYTES = 65_536


@contextmanager
def narrow_pipe() -> Generator[tuple[int, int]]:
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    try:
        yield read, write
    finally:
        os.close(read)
        os.close(write)


@contextmanager
def unread_daemon(state: Path) -> Generator[tuple[subprocess.Popen[bytes], int]]:
    """A daemon that logs much, to a pipe which is not read; the pipe's other end."""
    environment = {
        "PATH": os.environ["PATH"],
        "WASUP_STATE_DIR": str(state),
        "WASUP_BIND": "127.0.0.1:0",
        "WASUP_LOG_LEVEL": "debug",
        "WASUP_LOG_QUEUE_BYTES": str(QUEUE_BYTES),
    }
    with narrow_pipe() as (read, write):
        process = subprocess.Popen([str(PROGRAM), "run"], env=environment, stdout=write, stderr=write)
        try:
            yield process, read
        finally:
            process.kill()
            process.wait()


async def url_of(state: Path) -> str:
    async def look() -> str | None:
        await trio.lowlevel.checkpoint()
        running = find_running(state)
        return running and running.url

    return await eventually("the daemon to be ready", look, within=60.0) or ""


async def read_until(read: int, text: bytes) -> bytes:
    """Read the pipe until this text has come."""
    taken = bytearray()

    async def look() -> bytes | None:
        await trio.lowlevel.checkpoint()
        with_more = True
        while with_more:
            try:
                chunk = os.read(read, 65_536)
            except BlockingIOError:
                chunk = b""
            taken.extend(chunk)
            with_more = bool(chunk)
        return bytes(taken) if text in taken else None

    os.set_blocking(read, False)
    return await eventually(f"{text!r} in the log", look, within=30.0) or b""


def lines_of(log: bytes) -> list[dict[str, Any]]:
    return [msgspec.json.decode(line) for line in log.split(b"\n") if line.startswith(b"{") and line.endswith(b"}")]


async def test_a_daemon_whose_output_is_not_read(reachable: Path) -> None:
    """It serves; lines beyond the queue's limit are counted, and their number is logged when the output is read; SIGTERM ends it."""
    state = reachable / "state"
    with unread_daemon(state) as (process, read):
        url = await url_of(state)
        async with httpx.AsyncClient(timeout=20.0) as client:
            for _ in range(QUEUE_BYTES // 150):
                assert (await client.get(f"{url}/livez")).status_code == 200
            key = (state / "admin.key").read_text().strip()
            metrics = (await client.get(f"{url}/metrics", headers={"X-Api-Key": key})).text
            lost = next(line for line in metrics.splitlines() if line.startswith("wasup_log_lines_lost_total"))
            assert float(lost.split()[1]) > 0

            log = await read_until(read, b"log_lines_lost")
        (notice,) = [line for line in lines_of(log) if line["event"] == "log_lines_lost"]
        assert notice["count"] >= float(lost.split()[1])
        process.send_signal(signal.SIGTERM)
        await read_until(read, b'"event":"stopped"')
        assert process.wait(20) == 0


async def test_sigterm_ends_a_daemon_whose_output_is_not_read(reachable: Path) -> None:
    """In order, with 0: what cannot be written is dropped."""
    state = reachable / "state"
    with unread_daemon(state) as (process, _):
        url = await url_of(state)
        async with httpx.AsyncClient(timeout=20.0) as client:
            for _ in range(QUEUE_BYTES // 300):
                assert (await client.get(f"{url}/livez")).status_code == 200
        process.send_signal(signal.SIGTERM)
        status = await trio.to_thread.run_sync(process.wait, 30)

    assert status == 0
    assert find_running(state) is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_command_whose_output_is_not_read_ends(tmp_path: Path, number: signal.Signals) -> None:
    """Also at its very end, where the interpreter flushes its buffers."""
    code = (
        "import sys; from actors import main; sys.stdout.write('x' * 4000); sys.stdout.flush(); sys.exit(main.main())"
    )
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "WASUP_STATE_DIR": str(tmp_path / "state")}
    with narrow_pipe() as (_, write):
        process = subprocess.Popen(
            [str(PROGRAM.with_name("python")), "-c", code, "check-config"], env=environment, stdout=write
        )
        try:
            _wait_until_it_writes(process.pid)
            process.send_signal(number)
            assert process.wait(20) == 128 + number
        finally:
            process.kill()
            process.wait()


def _wait_until_it_writes(pid: int) -> None:
    """Wait until the kernel has it waiting for room in the pipe."""

    async def look() -> bool:
        channel = await trio.Path(f"/proc/{pid}/wchan").read_text()
        return "pipe_write" in channel

    trio.run(lambda: eventually("the command to wait for its reader", look, within=30.0))
