"""A peer that vanishes without closing, in network namespaces of their own: run as root by test_readers.py under `unshare -n`.

Prints how long the daemon takes to find out, as JSON: with nothing to send to the peer, and while it sends events.
"""

from __future__ import annotations

import base64
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import structlog
import trio

from config.sections import HttpSettings
from config.values import Bind, parse_networks
from tests.http.raw import websocket_handshake
from tests.http.world import COMPANY_A, Daemon, running

HERE, THERE = "10.99.0.1", "10.99.0.2"
PATIENCE_S = 60.0
ONLY_TCP = HttpSettings(
    trusted_proxies=parse_networks(f"{HERE}/24".replace(".1/", ".0/")),
    websocket_ping_interval_s=600.0,
    websocket_silence_s=600.0,
    websocket_send_timeout_s=600.0,
)
"""Nothing but keepalive and the user timeout ends a connection."""

CLIENT = """
import base64, socket, sys
host, port, handshake = sys.argv[1], int(sys.argv[2]), base64.b64decode(sys.argv[3])
connection = socket.create_connection((host, port))
connection.sendall(handshake)
while connection.recv(65536):
    pass
"""


def ip(*words: str, namespace_of: int | None = None) -> None:
    """Configure a network."""
    prefix = [] if namespace_of is None else ["nsenter", "-t", str(namespace_of), "-n"]
    subprocess.run([*prefix, "ip", *words], check=True)


@contextmanager
def other_host() -> Iterator[int]:
    """A process whose network namespace is connected to ours by a cable."""
    with subprocess.Popen(["unshare", "-n", "sleep", "300"]) as process:
        try:
            while Path(f"/proc/{process.pid}/ns/net").readlink() == Path("/proc/self/ns/net").readlink():
                assert process.poll() is None
            ip("link", "set", "lo", "up")
            ip("link", "add", "here", "type", "veth", "peer", "name", "there")
            ip("link", "set", "there", "netns", str(process.pid))
            ip("addr", "add", f"{HERE}/24", "dev", "here")
            ip("link", "set", "here", "up")
            ip("addr", "add", f"{THERE}/24", "dev", "there", namespace_of=process.pid)
            ip("link", "set", "there", "up", namespace_of=process.pid)
            yield process.pid
        finally:
            process.kill()


async def detection_s(daemon: Daemon, there: int, *, is_sending: bool) -> float:
    """Pull a subscriber's cable out; return the seconds until the daemon has given it up."""
    handshake = base64.b64encode(websocket_handshake()).decode()
    command = [
        *("nsenter", "-t", str(there), "-n", sys.executable, "-c", CLIENT),
        *(HERE, str(daemon.port), handshake),
    ]
    with subprocess.Popen(command) as client:  # noqa: ASYNC220  # starting it takes a millisecond
        try:
            with trio.fail_after(PATIENCE_S):
                while daemon.world.hub.subscriptions == 0:
                    await trio.sleep(0.01)
                daemon.world.publish(COMPANY_A, "status")
                await trio.sleep(0.5)
                ip("link", "set", "there", "down", namespace_of=there)
                began = trio.current_time()
                while daemon.world.hub.subscriptions > 0:
                    if is_sending:
                        daemon.world.publish(COMPANY_A, "status")
                    await trio.sleep(0.05)
                return trio.current_time() - began
        finally:
            client.kill()
            ip("link", "set", "there", "up", namespace_of=there)


async def measure() -> dict[str, float]:
    """Both."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    with other_host() as there:
        async with running(http=ONLY_TCP, bind=Bind(HERE, 0)) as daemon:
            idle_s = await detection_s(daemon, there, is_sending=False)
            sending_s = await detection_s(daemon, there, is_sending=True)
    return {"idle_s": idle_s, "sending_s": sending_s}


if __name__ == "__main__":
    print(msgspec.json.encode(trio.run(measure)).decode())
