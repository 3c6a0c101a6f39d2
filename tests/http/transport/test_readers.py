"""Readers of live events that stop reading, or vanish: what happens to them, and their cost to the others."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
import trio
from wsproto.events import CloseConnection, TextMessage

from config.sections import HttpSettings
from tests.http.raw import WebSocket, subscribed
from tests.http.world import COMPANY_A, Daemon, running
from tests.support.bars import patience
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[3]
KIB, MIB = 1024, 1024 * 1024
IMPATIENT = HttpSettings(websocket_ping_interval_s=0.1, websocket_silence_s=0.6)


async def read(websocket: WebSocket) -> None:
    """Read whatever comes."""
    while True:
        await websocket.next_event()


async def everything(websocket: WebSocket) -> tuple[list[int], CloseConnection]:
    """The unread rest: the ``seq`` of events, and the closing frame."""
    seqs: list[int] = []
    while not isinstance(event := await websocket.next_event(), CloseConnection):
        if isinstance(event, TextMessage):
            seqs.append(msgspec.json.decode(event.data)["seq"])
    return seqs, event


async def test_a_reader_that_stops_reading_is_told_so_and_resumes() -> None:
    """However little there was to send: closed with 1013 and where to resume, which is behind all that it got."""
    async with running(http=IMPATIENT) as daemon:
        async with subscribed(daemon) as websocket:
            await wait_until(lambda: daemon.world.hub.subscriptions == 1, seconds=30.0)
            for _ in range(3):
                daemon.world.publish(COMPANY_A, "status")
            await wait_until(lambda: daemon.world.hub.subscriptions == 0, seconds=30.0)
            seqs, closing = await everything(websocket)
        daemon.world.publish(COMPANY_A, "status")
        async with subscribed(daemon, "?after=3") as websocket:
            resumed = msgspec.json.decode(await websocket.text())["seq"]
        counted = b'wasup_events_subscribers_dropped_total{reason="not_reading"} 1.0' in daemon.metrics.exposition()

    assert seqs == [1, 2, 3]
    assert (closing.code, closing.reason) == (1013, "not_reading; resume with after=3")
    assert resumed == 4
    assert counted


async def test_a_reader_with_nothing_to_read_stays() -> None:
    """It answers pings, and nothing else is required."""
    async with running(http=IMPATIENT) as daemon, subscribed(daemon) as websocket, trio.open_nursery() as nursery:
        nursery.start_soon(read, websocket)
        await trio.sleep(4 * IMPATIENT.websocket_silence_s)

        assert daemon.world.hub.subscriptions == 1
        nursery.cancel_scope.cancel()


def rss_bytes() -> int:
    """Resident memory of this process, in which server and clients are."""
    found = re.search(r"^VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * KIB


async def publish_and_read(daemon: Daemon, good: WebSocket, count: int) -> list[float]:
    """Publish events of a kibibyte, each read by the good reader before the next; return the seconds of processor time for publishing."""
    times: list[float] = []
    for _ in range(count):
        began = time.process_time()
        daemon.world.publish(COMPANY_A, "message", text="x" * KIB)
        times.append(time.process_time() - began)
        while not isinstance(await good.next_event(), TextMessage):
            pass
        await trio.sleep(0.005)
    return times


@pytest.mark.slow
async def test_e1_deaf_readers_cost_nobody_anything() -> None:
    """With the default settings: closed within 10 s and a little, another reader has every event, publishing takes no longer."""
    async with running() as daemon, subscribed(daemon) as good:
        alone = await publish_and_read(daemon, good, 300)
        before = rss_bytes()
        deaf = 4
        async with trio.open_nursery() as nursery:
            closed_after: list[float] = []

            async def be_deaf() -> None:
                async with subscribed(daemon, receive_buffer=4096):
                    began = trio.current_time()
                    subscriptions = daemon.world.hub.subscriptions
                    while daemon.world.hub.subscriptions >= subscriptions:
                        await trio.sleep(0.05)
                    closed_after.append(trio.current_time() - began)
                    await trio.sleep(0.5)

            for _ in range(deaf):
                nursery.start_soon(be_deaf)
            await wait_until(lambda: daemon.world.hub.subscriptions == deaf + 1, seconds=30.0)
            beside: list[float] = []
            with trio.fail_after(60):
                while daemon.world.hub.subscriptions > 1:
                    beside += await publish_and_read(daemon, good, 50)
        counted = f'wasup_events_subscribers_dropped_total{{reason="not_reading"}} {deaf}.0'.encode()
        await wait_until(lambda: counted in daemon.metrics.exposition(), seconds=30.0)
        grown = rss_bytes() - before

    def p99(times: list[float]) -> float:
        return sorted(times)[round(0.99 * (len(times) - 1))]

    print(
        f"E1: closed after {max(closed_after):.1f} s; publishing p99 {p99(alone) * 1e6:.0f} us alone, "
        f"{p99(beside) * 1e6:.0f} us beside {deaf} deaf readers; RSS +{grown / MIB / deaf:.1f} MiB each"
    )
    assert max(closed_after) < 20
    assert grown <= deaf * 4 * MIB
    # Publishing puts an event into each reader's queue: microseconds, of which a busy machine can make more.
    assert p99(beside) < max(2 * p99(alone), 0.005)


def cannot_make_namespaces() -> str | None:
    """The reason, if it cannot."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    missing = [name for name in ("unshare", "nsenter", "ip") if shutil.which(name) is None]
    if missing:
        return f"not installed: {', '.join(missing)}"
    made = subprocess.run(
        ["unshare", "-n", "ip", "link", "add", "here", "type", "veth", "peer", "name", "there"],
        capture_output=True,
        text=True,
        check=False,
    )
    return None if made.returncode == 0 else f"no network namespaces here: {made.stderr.strip()}"


@pytest.mark.slow
async def test_e2_a_peer_that_vanishes_is_found() -> None:
    """By TCP alone: keepalive while there is nothing to send, the user timeout while there is."""
    if (why := cannot_make_namespaces()) is not None:
        pytest.skip(why)
    with trio.fail_after(150):
        done = await trio.run_process(
            ["unshare", "-n", sys.executable, "-m", "tests.http.half_open"],
            cwd=ROOT,
            capture_stdout=True,
            capture_stderr=True,
            check=False,
        )

    assert done.returncode == 0, done.stderr.decode()[-4000:]
    found = msgspec.json.decode(done.stdout.splitlines()[-1], type=dict[str, float])
    print(f"E2: found after {found['idle_s']:.1f} s when idle, {found['sending_s']:.1f} s while sending")
    assert found["idle_s"] < patience(20)
    assert found["sending_s"] < patience(20)
