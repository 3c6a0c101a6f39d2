"""The users of the loopback's own tests, and what they do with their phones."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

import trio

from tests.loopback.loopback import DeviceState, Loopback
from tests.loopback.peers import Peers

PHONES: Final = {name: f"7900000000{number}" for number, name in enumerate("abcd", 1)}
LIDS: Final = {name: f"10000000000000{number}" for number, name in enumerate("abcd", 1)}
WAIT_S: Final = 20.0


async def link(loopback: Loopback, peers: Peers, user: str, client: str = "") -> None:
    """Link a client (by default named like the user) by QR code, and wait until it is connected."""
    client = client or user
    await peers.open(client)
    offered = await peers.event(client, "qr")
    await loopback.scan(PHONES[user], offered.qr)
    await peers.event(client, "connected")
    await until(loopback, lambda: state(loopback, user).listening)


async def greet(peers: Peers, sender: str, recipient: str, text: str = "hello") -> None:
    """Let one client send to another user, whose client (of the same process and the same name) must decrypt it."""
    await peers.send(sender, PHONES[recipient], text)
    received = await peers.event(recipient, "message")
    assert received.text == text


def state(loopback: Loopback, user: str, number: int = 0) -> DeviceState:
    """The device of a user: the newest, or the one with this number."""
    devices = [device for device in loopback.devices() if device.phone == PHONES[user]]
    return next((device for device in devices if device.number == number), devices[-1])


async def until(loopback: Loopback, condition: Callable[[], bool]) -> None:
    """Wait until a condition on the loopback holds; TooSlowError after 20 s."""
    with trio.fail_after(WAIT_S):
        await loopback.journal.wait_until(condition)


def copy_state(directory: Path, client: str, copy: str) -> None:
    """Copy the state of a stopped neonize client: opened under the other name, the same device exists twice."""
    for suffix in (".sqlite3", ".sqlite3-wal"):
        source = directory / f"{client}{suffix}"
        if source.exists():
            shutil.copy(source, directory / f"{copy}{suffix}")
