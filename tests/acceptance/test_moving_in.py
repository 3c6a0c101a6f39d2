"""A company moves from Baileys into wasup and out again: same device, same Signal sessions, no code to scan."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

import pytest

from tests.acceptance.peer import Peer
from tests.acceptance.witness import Witness, witness
from tests.loopback.journal import Routed
from tests.loopback.node.install import HERE, SIX, NodeMissingError, installed
from tests.loopback.peers import PeerError, PeerEvent, Peers, start_baileys
from tests.loopback.remote import RemoteLoopback
from tests.support.api import SESSIONS, Api
from tests.support.eventually import eventually
from tests.support.site import Plan, Site, User

LISTENER, TALKER, SEVEN, SIXTH = (User(number) for number in range(1, 5))
PLAN = Plan(others=(LISTENER,), settings={"WASUP_STORAGE_IMPORT_QUIET_S": "0", "RATE_LIMIT_MAX_REQUESTS": "1000"})
WITHIN_S: Final = 30.0


@dataclass(frozen=True)
class Case:
    """Who moves, and from which Baileys."""

    user: User
    generation: str
    manifests: Path
    addressing: str


CASES: Final = (Case(SEVEN, "v7", HERE, "lid"), Case(SIXTH, "v6", SIX, "pn"))


@final
class Client:
    """One client of a Baileys process."""

    def __init__(self, user: User, peers: Peers) -> None:
        self.user = user
        self._peers = peers

    async def link(self, loopback: RemoteLoopback) -> None:
        """Scan its code and wait until it is connected."""
        await self._peers.open(self.user.phone)
        await loopback.scan(self.user.phone, (await self._peers.event(self.user.phone, "qr")).qr)
        await self._peers.event(self.user.phone, "connected")
        await loopback.wait_logged_in(self.user.phone)

    async def log_in(self, loopback: RemoteLoopback) -> None:
        """Connect with what its directory holds."""
        await self._peers.open(self.user.phone)
        await self._peers.event(self.user.phone, "connected")
        await loopback.wait_logged_in(self.user.phone)

    async def leave(self, loopback: RemoteLoopback) -> None:
        """Disconnect, and wait until WhatsApp has noticed."""
        await self._peers.close(self.user.phone)

        async def left() -> bool:
            return not any(device.phone == self.user.phone and device.logged_in for device in await loopback.devices())

        await eventually(f"{self.user.phone} to have left", left, within=WITHIN_S)

    async def send(self, to: str, text: str) -> str:
        """Send a text; return its id."""
        return await self._peers.send(self.user.phone, to, text)

    async def receive(self, message_id: str) -> PeerEvent:
        """The message of this id, decrypted."""
        return await self._peers.event(self.user.phone, "message", where=lambda event: event.id == message_id)


@asynccontextmanager
async def baileys(site: Site, user: User, name: str, manifests: Path = HERE) -> AsyncGenerator[Client]:
    """A process with one client, whose directory is ``name/<phone>``. Skips where there is no Node."""
    try:
        modules = installed(manifests=manifests)
    except NodeMissingError as error:
        pytest.skip(str(error))
    directory = site.directory / name
    directory.mkdir(exist_ok=True)
    async with start_baileys(site.endpoints, directory, modules) as peers:
        yield Client(user, peers)


@pytest.fixture
async def talker(site: Site, loopback: RemoteLoopback) -> AsyncGenerator[Client]:
    """A Baileys 7 that stays: it hands its sender key out once and then relies on it."""
    is_new = not (site.directory / "talkers").exists()
    async with baileys(site, TALKER, "talkers") as client:
        if is_new:
            await loopback.add_account(TALKER.phone, TALKER.lid)
            await client.link(loopback)
        else:
            await client.log_in(loopback)
        yield client


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.generation)
async def test_a_company_moves_in_and_out(
    site: Site, api: Api, loopback: RemoteLoopback, listener: Peer, talker: Client, case: Case
) -> None:
    """Baileys links, talks and stops; imported, wasup goes on as that device; exported, Baileys 7 does: never a code, a retry, or
    a message that begins a session anew, and the group's sender key stays in use. The old Baileys cannot come back."""
    user = case.user
    await loopback.add_account(user.phone, user.lid)
    group = await loopback.add_group("Movers", [TALKER.phone, user.phone], case.addressing)
    async with baileys(site, user, f"from-{case.generation}", case.manifests) as mover:
        await mover.link(loopback)
        await _talk(mover, listener, talker, group)
        await mover.leave(loopback)
        left = [await listener.send(user, "while moving in"), await talker.send(group, "group, while moving in")]
        before = await witness(api, loopback)
        seen = len(await loopback.routed())
        source = site.directory / f"from-{case.generation}" / user.phone
        imported = await _wasup(site, "import-baileys", str(source), user.company)
        with pytest.raises(PeerError, match="not a directory"):
            await mover.log_in(loopback)

    await api.post(f"{SESSIONS}/{user.company}/start")
    await api.wait_connected(user.company, within=WITHIN_S)
    texts = [(await api.message(user.company, message_id))["text"] for message_id in left]
    await before.assert_conversations_go_on(listener, user)
    await _assert_group_goes_on(api, talker, user, group)

    assert (imported["state"], imported["generation"], imported["warnings"]) == ("imported", case.generation, [])
    assert imported["moved"]["session"] >= 2
    assert imported["moved"]["sender-key"] == 2
    assert texts == ["while moving in", "group, while moving in"]
    await _assert_same_sessions(loopback, before, seen, user)

    await api.post(f"{SESSIONS}/{user.company}/stop")
    left = [await listener.send(user, "while moving out"), await talker.send(group, "group, while moving out")]
    seen = len(await loopback.routed())
    (site.directory / f"back-{case.generation}").mkdir()
    exported = await _wasup(
        site, "export-baileys", user.company, str(site.directory / f"back-{case.generation}" / user.phone)
    )
    async with baileys(site, user, f"back-{case.generation}") as mover:
        await mover.log_in(loopback)
        texts = [(await mover.receive(message_id)).text for message_id in left]
        await _talk(mover, listener, talker, group)
        await _assert_same_sessions(loopback, before, seen, user)
        await _assert_not_owned(api, loopback, user)

    assert texts == ["while moving out", "group, while moving out"]
    assert exported["moved"]["session"] >= 2
    assert exported["moved"]["sender-key"] >= 2


async def _wasup(site: Site, *words: str) -> Any:
    done = await site.wasup(*words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


async def _talk(mover: Client, listener: Peer, talker: Client, group: str) -> None:
    """Talk both ways with one peer, and both ways in the group."""
    there = await mover.send(LISTENER.phone, "there")
    assert (await listener.message(there)).text == "there"
    back = await listener.send(mover.user, "and back")
    assert (await mover.receive(back)).text == "and back"
    there = await mover.send(group, "group, there")
    assert (await talker.receive(there)).text == "group, there"
    back = await talker.send(group, "group, and back")
    assert (await mover.receive(back)).text == "group, and back"


async def _assert_group_goes_on(api: Api, talker: Client, user: User, group: str) -> None:
    there = await api.send(user.company, group, "group, from wasup")
    back = await talker.send(group, "group, to wasup")

    assert (await talker.receive(there)).text == "group, from wasup"
    assert (await api.message(user.company, back))["text"] == "group, to wasup"


async def _assert_not_owned(api: Api, loopback: RemoteLoopback, user: User) -> None:
    """When it is started all the same, wasup has no credentials to log in with, and does not disturb the new owner."""
    before = await witness(api, loopback)
    await api.post(f"{SESSIONS}/{user.company}/start")

    async def is_unlinked() -> bool:
        return bool((await api.status(user.company))["status"] == "unlinked")

    await eventually("the company to be unlinked", is_unlinked, within=WITHIN_S)
    assert (await before.more("logins"), await before.more("replaced")) == (0, 0)


async def _assert_same_sessions(loopback: RemoteLoopback, before: Witness, seen: int, user: User) -> None:
    """No linking, no retry; between live devices only messages on existing sessions; from the talker only messages under sender keys."""
    routed = [one for one in await loopback.routed(seen) if one.outcome != "phone"]
    anew = [one for one in routed if one.kind == "pkmsg" and user.phone in one.sender + one.recipient]

    await before.assert_no_pairing()
    assert await before.more("retry_receipts") == 0
    assert anew == []
    assert {one.kind for one in routed if _is_from(one, TALKER)} == {"skmsg"}


def _is_from(one: Routed, user: User) -> bool:
    return one.sender.partition(":")[0] in {user.phone, user.lid}
