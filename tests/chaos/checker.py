"""What must hold after any chaos, proved from what applications, WhatsApp and the operating system saw."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio

from tests.acceptance.peer import Peer
from tests.acceptance.traffic import Traffic
from tests.acceptance.witness import Witness, witness
from tests.loopback.remote import RemoteLoopback
from tests.support.api import Api, Json
from tests.support.eventually import eventually
from tests.support.processes import alive, descendants
from tests.support.site import Site, User
from tests.support.tree import nodes

RECOVERED_WITHIN_S: Final = 120.0
SETTLED_WITHIN_S: Final = 60.0
SPARE_DESCRIPTORS: Final = 12
"""Connections that a pool or a client keeps for a while before it closes them."""


@dataclass(frozen=True, slots=True)
class Holdings:
    """The system's resources that the daemon's own process holds."""

    descriptors: int
    threads: int
    children: int


def holdings(site: Site) -> Holdings:
    """Those of the running daemon."""
    process = Path("/proc", str(site.daemon.pid))
    return Holdings(
        descriptors=sum(1 for _ in (process / "fd").iterdir()),
        threads=sum(1 for _ in (process / "task").iterdir()),
        children=len(alive(descendants(site.daemon.pid) - site.daemon.postgres())),
    )


@dataclass(frozen=True, slots=True)
class Checker:
    """Proves the invariants of one run."""

    site: Site
    api: Api
    loopback: RemoteLoopback
    companies: Sequence[User]
    before: Witness

    async def everyone_is_back(self) -> None:
        """Every company is connected, every actor runs, HTTP is ready."""
        try:
            await self.api.wait_connected(*(user.company for user in self.companies), within=RECOVERED_WITHIN_S)
            await eventually("every actor to run", self._all_run, within=SETTLED_WITHIN_S)
        except AssertionError as error:
            tree = (await self.api.get("/admin/tree"))["tree"]
            raise AssertionError(f"{error}; the tree: {tree}") from None

    async def _all_run(self) -> bool:
        answer = await self.api.try_get("/admin/tree")
        if answer.status_code != 200:
            return False
        return not [node["path"] for node in nodes(answer.json()["tree"]) if not _is_well(node)]

    async def every_acknowledged_send_arrived_once(self, traffic: Traffic, listener: Peer) -> None:
        """Each acknowledged send was decrypted at the recipient, and delivered to it once."""
        await listener.wait_received(traffic.account.acknowledged, within=SETTLED_WITHIN_S)
        arrived = Counter(
            {id_: times for id_, times in listener.arrivals().items() if id_ in traffic.account.acknowledged}
        )
        twice = sorted(id_ for id_, times in arrived.items() if times > 1)

        assert twice == [], f"arrived more than once: {twice}"

    async def nobody_was_asked_to_pair(self) -> None:
        """No QR, no code, no pairing."""
        await self.before.assert_no_pairing()

    async def one_socket_a_company(self) -> None:
        """WhatsApp has each company's device online once, and no other."""
        devices = [device for device in await self.loopback.devices() if device.listening]
        online = Counter(device.phone for device in devices)

        assert {phone: times for phone, times in online.items() if times > 1} == {}
        assert {user.phone for user in self.companies} <= online.keys()

    async def nothing_is_held(self, was: Holdings) -> None:
        """Every descriptor, thread and process is given back."""

        async def look() -> bool:
            await trio.lowlevel.checkpoint()
            now = holdings(self.site)
            return (
                now.descriptors <= was.descriptors + SPARE_DESCRIPTORS
                and now.threads <= was.threads + 2
                and now.children <= was.children
            )

        try:
            await eventually("what the daemon held to be given back", look, within=SETTLED_WITHIN_S)
        except AssertionError as error:
            raise AssertionError(f"{error}; was {was}, is {holdings(self.site)}") from None

    async def postgres_has_everything(self, listener: Peer) -> None:
        """Stop the daemon and delete every device file: the next messages then decrypt in both directions at the first attempt.

        At the first: messages that a killed process had decrypted had to be requested again, and were; none has to be now.
        """
        now = await witness(self.api, self.loopback)
        for user in self.companies:  # acknowledged, so everything its device file holds is committed
            await self.api.send(user.company, listener.user.phone, "the last before the fire")
        self.site.daemon.end()
        for file in sorted((self.site.daemon.state_dir / "devices").iterdir()):
            file.unlink()
        await self.site.daemon.restart()
        await self.api.wait_connected(*(user.company for user in self.companies), within=RECOVERED_WITHIN_S)
        await now.assert_conversations_go_on(listener, *self.companies)


def _is_well(node: Json) -> bool:
    return (node["state"] == "running" or node["path"] == "/boot") and not node["isStuck"]
