"""A daemon with a master key: its database holds nothing readable, the key is changed while it runs, and forged rows are not used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from storage.database.pool import open_database
from tests.acceptance.peer import Peer
from tests.acceptance.traffic import flowing
from tests.acceptance.witness import witness
from tests.loopback.remote import RemoteLoopback
from tests.support.api import SESSIONS, Api
from tests.support.eventually import eventually
from tests.support.master_keys import key_id, write_keys
from tests.support.site import Plan, Site, User

A, B, LISTENER, TALKER = (User(number) for number in range(1, 5))
COMPANIES = (A, B)
CONNECT_WITHIN_S = 30.0
NAMES = (A.company, B.company)


@pytest.fixture(scope="module")
def key_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The daemon's master key file, with key 1."""
    return write_keys(tmp_path_factory.mktemp("keys") / "master.key", 1)


@pytest.fixture(scope="module")
def plan(key_file: Path) -> Plan:
    """Two companies on a daemon with a master key."""
    settings = {"WASUP_MASTER_KEY_FILE": str(key_file), "RATE_LIMIT_MAX_REQUESTS": "100000"}
    return Plan(companies=COMPANIES, others=(LISTENER, TALKER), settings=settings)


async def told(site: Site, *arguments: str) -> Any:
    """The JSON output of a command that succeeds."""
    done = await site.wasup(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return msgspec.json.decode(done.stdout)


async def test_every_value_of_a_linked_company_is_sealed(site: Site, api: Api, listener: Peer) -> None:
    """After linking and talking, the tables hold no credential, no session and no key that could be used."""
    await api.wait_connected(*NAMES, within=CONNECT_WITHIN_S)
    sent = await api.send(A.company, LISTENER.phone, "sealed")
    assert (await listener.message(sent)).text == "sealed"

    stats = await told(site, "stats")

    assert stats["totals"]["companies"] == len(COMPANIES)
    assert stats["totals"]["sealed"] == stats["totals"]["total"] > 100
    assert stats["masterKeys"] == [{"masterKey": key_id(1), "live": 2, "archived": 0}]
    async with open_database(site.dsn, size=1) as database:
        creds = await database.fetchval("SELECT string_agg(creds::text, '') FROM whatsapp_auth")
        keys = await database.fetchval("SELECT string_agg(value::text, '') FROM whatsapp_keys")
    for word in ("noiseKey", "Buffer", "private", "SessionState", A.phone):
        assert word not in creds + keys


async def test_the_master_key_is_changed_under_traffic(
    site: Site, api: Api, loopback: RemoteLoopback, listener: Peer, talker: Peer, key_file: Path
) -> None:
    """No company leaves WhatsApp and no message is lost; with the new key alone the daemon starts and reads everything."""
    await api.wait_connected(*NAMES, within=CONNECT_WITHIN_S)
    before = await witness(api, loopback)
    async with flowing(api, listener, talker, COMPANIES) as traffic:
        await traffic.wait_acknowledged(10)
        write_keys(key_file, 2, 1)
        rotated = await told(site, "rotate-key")
        write_keys(key_file, 2)
        await traffic.wait_acknowledged(10)
    await traffic.wait_delivered(since=before.seq)

    assert (rotated["masterKey"], rotated["rewrapped"], rotated["unreadable"]) == (key_id(2), 2, {})
    assert set(traffic.account.codes()) == {"ok"}
    assert await before.more("logins") == 0
    await site.daemon.stop()
    for file in (site.daemon.state_dir / "devices").iterdir():  # so that all of it has to be read from the database
        file.unlink()
    await site.daemon.restart()
    await api.wait_connected(*NAMES, within=CONNECT_WITHIN_S)
    await before.assert_no_pairing()
    await before.assert_conversations_go_on(listener, *COMPANIES)


async def test_x5_credentials_that_were_swapped_are_not_used(site: Site, api: Api, loopback: RemoteLoopback) -> None:
    """Company A with B's credentials: suspended, audited, no code on offer, B untouched; in order again once the row is."""
    await api.wait_connected(*NAMES, within=CONNECT_WITHIN_S)
    before = await witness(api, loopback)
    await api.post(f"{SESSIONS}/{A.company}/stop")
    async with open_database(site.dsn, size=1) as database:
        own = await database.fetchval("SELECT creds FROM whatsapp_auth WHERE company_id = $1", A.company)
        await database.execute(
            "UPDATE whatsapp_auth SET creds = (SELECT creds FROM whatsapp_auth WHERE company_id = $2) WHERE company_id = $1",
            *NAMES,
        )
        await api.post(f"{SESSIONS}/{A.company}/start")

        async def suspended() -> bool:
            return (await api.states())[A.company] == "suspended"

        await eventually("company A to be suspended", suspended, within=30.0)
        status = await api.status(A.company)
        initialize = await api.call("POST", f"{SESSIONS}/{A.company}/initialize", json={"method": "qr"})
        audit = await told(site, "audit")
        await database.execute("UPDATE whatsapp_auth SET creds = $2 WHERE company_id = $1", A.company, own)
    await api.post(f"{SESSIONS}/{A.company}/restart")
    await api.wait_connected(*NAMES, within=CONNECT_WITHIN_S)

    assert "sealed under another data key" in status["reason"]
    assert initialize.status_code != 200
    assert "auth_state_unreadable" in [record["action"] for record in audit["records"]]
    assert audit["breaks"] == []
    assert await before.statuses(B) == []
    await before.assert_no_pairing()


async def test_without_its_master_key_the_daemon_does_not_start(site: Site, api: Api, loopback: RemoteLoopback) -> None:
    """It says which key is missing and what to set, ends with 1, and has changed nothing."""
    await api.wait_connected(*NAMES, within=CONNECT_WITHIN_S)
    before = await witness(api, loopback)
    await site.daemon.stop()
    named = site.daemon.environment.pop("WASUP_MASTER_KEY_FILE")
    try:
        site.daemon.start()
        status = await site.daemon.wait_ended(within=60.0)
    finally:
        site.daemon.environment["WASUP_MASTER_KEY_FILE"] = named
    said = site.daemon.tail()
    await site.daemon.restart()
    await api.wait_connected(*NAMES, within=CONNECT_WITHIN_S)

    assert status == 1
    assert f"sealed under master key {key_id(2)}, and none is configured: set WASUP_MASTER_KEY_FILE" in said
    await before.assert_no_pairing()
