"""Backup, loss of everything, restore, start: connected without a QR code, and the conversations go on."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from storage.database.connection import Connection
from storage.database.pool import open_database
from tests.acceptance.peer import Peer
from tests.acceptance.traffic import flowing
from tests.acceptance.witness import Witness, witness
from tests.loopback.remote import RemoteLoopback
from tests.support.api import Api
from tests.support.eventually import eventually
from tests.support.master_keys import key_id, write_keys
from tests.support.scripts import run_script
from tests.support.site import Plan, Site, User

A, B, LISTENER, TALKER = (User(number) for number in range(1, 5))
COMPANIES = (A, B)
NAMES = tuple(user.company for user in COMPANIES)
REWOUND = ("whatsapp_auth", "whatsapp_keys", "whatsapp_journal")
CONNECT_WITHIN_S = 60.0
ARRIVES_WITHIN_S = 60.0


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """Two companies in an embedded database, with a master key."""
    key_file = write_keys(tmp_path_factory.mktemp("keys") / "master.key", 1)
    settings = {"WASUP_MASTER_KEY_FILE": str(key_file), "RATE_LIMIT_MAX_REQUESTS": "100000"}
    return Plan(companies=COMPANIES, others=(LISTENER, TALKER), settings=settings)


async def script(site: Site, name: str, *arguments: str | Path) -> str:
    """Run a script of deploy/ that succeeds; return its output."""
    done = await run_script(name, *arguments, environment=site.daemon.environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def lose(site: Site, *, devices: bool) -> None:
    """Delete the database, and perhaps the device files."""
    shutil.rmtree(site.daemon.state_dir / "postgres" / "data")
    if devices:
        shutil.rmtree(site.daemon.state_dir / "devices")


async def kinds(loopback: RemoteLoopback, since: int) -> set[str]:
    """How the messages to the peers were encrypted: ``msg`` in an existing session, ``pkmsg`` in a new one.

    Without the copies for their phones, which never answer and so never acknowledge a session.
    """
    peers = {name for user in (LISTENER, TALKER) for name in (user.phone, user.lid)}
    addresses = [(each.kind, *each.recipient.partition("@")[0].partition(":")) for each in await loopback.routed(since)]
    return {kind for kind, user, _, device in addresses if user in peers and device not in ("", "0")}


async def pairing_offers(api: Api) -> int:
    """How many codes were ever offered, according to the event log."""
    return len([*await api.events(kind="qr"), *await api.events(kind="pairing_code")])


async def stats(site: Site) -> dict[str, Any]:
    done = await site.wasup("stats", "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = msgspec.json.decode(done.stdout)
    return found


async def begin(api: Api, loopback: RemoteLoopback, *peers: Peer) -> Witness:
    """Connect every company and make a session with every peer, used in both directions."""
    await api.wait_connected(*NAMES, within=CONNECT_WITHIN_S)
    for peer in peers:
        for user in COMPANIES:
            await peer.message(await api.send(user.company, peer.user.phone, "before"))
            await api.message(user.company, await peer.send(user, "before"))
            await peer.message(await api.send(user.company, peer.user.phone, "before, in an acknowledged session"))
    return await witness(api, loopback)


async def test_dump_drop_restore_start(
    site: Site, api: Api, loopback: RemoteLoopback, listener: Peer, tmp_path: Path
) -> None:
    """Backed up at rest, restored on an empty machine: no QR code, the same Signal sessions, the first message decrypts both ways."""
    before, backup = await begin(api, loopback, listener), tmp_path / "wasup.dump"
    routed = len(await loopback.routed())
    await site.daemon.stop()
    await script(site, "backup.sh", backup)
    stored = await stats(site)
    lose(site, devices=True)

    await script(site, "restore.sh", "--keep-sessions", backup)
    assert await stats(site) == stored
    drilled = await script(site, "restore-drill.sh", backup)
    await site.daemon.restart()
    await api.wait_connected(*NAMES, within=CONNECT_WITHIN_S)

    assert "the backup is good: 2 linked companies (in use now: 2)" in drilled
    await before.assert_no_pairing()
    await before.assert_conversations_go_on(listener, *COMPANIES)
    assert await kinds(loopback, routed) == {"msg"}


@pytest.mark.long
async def test_an_old_backup_and_no_device_files(
    site: Site, api: Api, loopback: RemoteLoopback, listener: Peer, talker: Peer, tmp_path: Path
) -> None:
    """Made under traffic, many messages old: no QR code; ours arrive at once in new sessions, theirs after a receipt for a retry or two."""
    before, backup = await begin(api, loopback, listener, talker), tmp_path / "wasup.dump"
    async with flowing(api, listener, talker, COMPANIES) as traffic:
        await traffic.wait_acknowledged(10)
        await script(site, "backup.sh", backup)
        offered = await pairing_offers(api)
        await traffic.wait_acknowledged(20)
    await traffic.wait_delivered(since=before.seq, within=ARRIVES_WITHIN_S)
    site.daemon.signal(signal.SIGKILL)
    await site.daemon.wait_ended(within=30.0)
    lose(site, devices=True)

    await script(site, "restore.sh", backup)
    await site.daemon.restart()
    await api.wait_connected(*NAMES, within=CONNECT_WITHIN_S)
    after, routed = await witness(api, loopback), len(await loopback.routed())

    sent = [await api.send(user.company, LISTENER.phone, "the first of ours") for user in COMPANIES]
    await listener.wait_received(sent, within=ARRIVES_WITHIN_S)
    assert await after.more("retry_receipts") == 0
    assert await kinds(loopback, routed) == {"pkmsg"}
    for user in COMPANIES:
        back = await talker.send(user, "the first of theirs")
        event = await api.event(user.company, "message", where=_is(back), within=ARRIVES_WITHIN_S)
        assert event["payload"]["text"] == "the first of theirs"
    assert len(COMPANIES) <= await after.more("retry_receipts") <= 2 * len(COMPANIES)
    assert (await before.more("pairings"), await pairing_offers(api)) == (0, offered)
    again = await witness(api, loopback)
    await again.assert_conversations_go_on(listener, *COMPANIES)
    await again.assert_conversations_go_on(talker, *COMPANIES)


@pytest.mark.long
async def test_an_old_backup_beside_the_device_files(
    site: Site, api: Api, loopback: RemoteLoopback, listener: Peer, talker: Peer, tmp_path: Path
) -> None:
    """They are newer than the backup: no message of the conversations is lost, and Postgres gets all of it again."""
    before, backup = await begin(api, loopback, listener, talker), tmp_path / "wasup.dump"
    await script(site, "backup.sh", backup)
    async with flowing(api, listener, talker, COMPANIES) as traffic:
        await traffic.wait_acknowledged(20)
    await traffic.wait_delivered(since=before.seq, within=ARRIVES_WITHIN_S)
    await site.daemon.stop()
    stored = await stats(site)
    lose(site, devices=False)

    await script(site, "restore.sh", backup)
    await site.daemon.restart()
    await api.wait_connected(*NAMES, within=CONNECT_WITHIN_S)
    after, routed = await witness(api, loopback), len(await loopback.routed())

    await after.assert_conversations_go_on(listener, *COMPANIES)
    await after.assert_conversations_go_on(talker, *COMPANIES)
    await site.daemon.stop()
    assert counts(await stats(site)) == counts(stored)
    shutil.rmtree(site.daemon.state_dir / "devices")
    await site.daemon.restart()
    await api.wait_connected(*NAMES, within=CONNECT_WITHIN_S)
    await after.assert_conversations_go_on(listener, *COMPANIES)
    await after.assert_conversations_go_on(talker, *COMPANIES)
    assert await kinds(loopback, routed) == {"msg"}
    assert await before.more("pairings") == 0


def _is(message_id: str) -> Callable[[dict[str, Any]], bool]:
    return lambda payload: bool(payload["messageId"] == message_id)


def counts(stored: dict[str, Any]) -> dict[tuple[str, str], int]:
    """How many keys of each company and type there are, without those that a log-in adds."""
    return {
        (each["companyId"], each["keyType"]): each["total"]
        for each in stored["keys"]
        if each["keyType"] not in ("pre-key", "lid-mapping", "whatsmeow-contact")
    }


@pytest.mark.long
async def test_a_database_that_goes_back_under_a_running_daemon(
    site: Site, api: Api, loopback: RemoteLoopback, listener: Peer, talker: Peer
) -> None:
    """As when a standby takes over that lacks the last commits: the next commit detects it, and everything is stored again."""
    before = await begin(api, loopback, listener, talker)
    async with open_database(site.dsn, size=1) as database:
        for table in REWOUND:
            await database.execute(f"CREATE TABLE old_{table} AS SELECT * FROM {table}")  # pyright: ignore[reportArgumentType]
        for number in range(5):
            await talk(api, listener, talker, f"since {number}")
        await database.write(rewind)
    routed = len(await loopback.routed())

    await talk(api, listener, talker, "after")
    assert [(await before.statuses(user))[0] for user in COMPANIES] == ["reconnecting"] * len(COMPANIES)
    await site.daemon.stop()
    shutil.rmtree(site.daemon.state_dir / "devices")
    await site.daemon.restart()
    await api.wait_connected(*NAMES, within=CONNECT_WITHIN_S)

    again = await witness(api, loopback)
    await again.assert_conversations_go_on(listener, *COMPANIES)
    await again.assert_conversations_go_on(talker, *COMPANIES)
    assert await kinds(loopback, routed) == {"msg"}
    await before.assert_no_pairing()


async def talk(api: Api, listener: Peer, talker: Peer, text: str) -> None:
    """Send a text of each company and one to each; a send is repeated until it is acknowledged."""
    for user in COMPANIES:

        async def acknowledged(company: str = user.company) -> str | None:
            answer = await api.try_send(company, LISTENER.phone, text)
            return str(answer.json()["messageId"]) if answer.status_code == 200 else None

        sent = await eventually("a send to be acknowledged", acknowledged, within=ARRIVES_WITHIN_S)
        await listener.wait_received([sent], within=ARRIVES_WITHIN_S)
        back = await talker.send(user, text)
        await api.event(user.company, "message", where=_is(back), within=ARRIVES_WITHIN_S)


async def rewind(connection: Connection) -> None:
    """Put the companies' state back to what it was when it was copied."""
    for table in REWOUND:
        await connection.execute(f"DELETE FROM {table}")  # pyright: ignore[reportArgumentType]
        await connection.execute(f"INSERT INTO {table} SELECT * FROM old_{table}")  # pyright: ignore[reportArgumentType]
        await connection.execute(f"DROP TABLE old_{table}")  # pyright: ignore[reportArgumentType]


@pytest.mark.long
async def test_a_restore_without_the_master_key(
    site: Site, api: Api, loopback: RemoteLoopback, listener: Peer, tmp_path: Path
) -> None:
    """Neither the check nor the daemon goes on without it: the key is named, nothing is changed; with it everything is as it was."""
    before, backup = await begin(api, loopback, listener), tmp_path / "wasup.dump"
    await site.daemon.stop()
    await script(site, "backup.sh", backup)
    lose(site, devices=True)
    await script(site, "restore.sh", "--keep-sessions", backup)
    stored = await stats(site)
    named = site.daemon.environment.pop("WASUP_MASTER_KEY_FILE")
    try:
        verified = await site.wasup("verify")
        drilled = await run_script("restore-drill.sh", backup, environment=site.daemon.environment)
        site.daemon.start()
        status = await site.daemon.wait_ended(within=60.0)
    finally:
        site.daemon.environment["WASUP_MASTER_KEY_FILE"] = named

    needed = f"sealed under master key {key_id(1)}, and none is configured: set WASUP_MASTER_KEY_FILE"
    assert (verified.returncode, drilled.returncode, status) == (1, 1, 1)
    assert needed in verified.stderr
    assert needed in drilled.stderr
    assert needed in site.daemon.tail()
    assert await stats(site) == stored
    assert (await site.wasup("verify")).returncode == 0
    await site.daemon.restart()
    await api.wait_connected(*NAMES, within=CONNECT_WITHIN_S)
    await before.assert_no_pairing()
    await before.assert_conversations_go_on(listener, *COMPANIES)
