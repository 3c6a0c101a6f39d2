"""The daemon is stopped or killed, or loses its engines or its files, and goes on where it was."""

from __future__ import annotations

import os
import signal
from urllib.parse import urlsplit

import pytest
import trio

from storage.embedded.process import postmaster_pid
from tests.acceptance.peer import Peer
from tests.acceptance.traffic import flowing
from tests.acceptance.witness import witness
from tests.loopback.remote import RemoteLoopback
from tests.support.api import Api
from tests.support.bars import patience
from tests.support.eventually import eventually
from tests.support.processes import alive, mentioning
from tests.support.site import Plan, Site, User

A, B, C, D, LISTENER, TALKER = (User(number) for number in range(1, 7))
COMPANIES = (A, B, C, D)
NAMES = tuple(user.company for user in COMPANIES)
PLAN = Plan(
    companies=COMPANIES,
    others=(LISTENER, TALKER),
    settings={"WASUP_SESSIONS_PER_ENGINE": "2", "RATE_LIMIT_MAX_REQUESTS": "100000"},
)
STOP_WITHIN_S = patience(5.0)
RECONNECT_WITHIN_S = patience(10.0)
ORPHANS_END_WITHIN_S = patience(1.0)


async def test_sigterm_leaves_nothing_behind(site: Site, api: Api) -> None:
    """SIGTERM while companies are linked: exit status 0 within 5 s, and no process, no socket, no temporary file stays."""
    await api.wait_connected(*NAMES)
    family, port = site.daemon.family(), urlsplit(site.daemon.url).port
    site.daemon.signal(signal.SIGTERM)
    status = await site.daemon.wait_ended(within=STOP_WITHIN_S)

    assert status == 0
    assert alive(family) == frozenset()
    assert mentioning(str(site.daemon.state_dir)) == {}
    assert [path for path in site.daemon.state_dir.rglob("*") if path.is_socket()] == []
    assert not (site.daemon.state_dir / "run").exists()
    assert list(site.temporary.iterdir()) == []
    assert port is not None
    with pytest.raises(OSError, match="connect"):
        await trio.open_tcp_stream("127.0.0.1", port)


async def test_a_restart_needs_no_pairing(site: Site, api: Api, loopback: RemoteLoopback, listener: Peer) -> None:
    """Stopped and started again, all companies are connected within 10 s, without a code, and the conversations go on."""
    await api.wait_connected(*NAMES)
    before = await witness(api, loopback)
    await site.daemon.stop()
    site.daemon.start()
    with trio.fail_after(RECONNECT_WITHIN_S):
        await site.daemon.wait_ready()
        await api.wait_connected(*NAMES)

    await before.assert_no_pairing()
    await before.assert_conversations_go_on(listener, *COMPANIES)


async def test_a_killed_engine_takes_only_its_own_companies_along(
    site: Site, api: Api, loopback: RemoteLoopback, listener: Peer, talker: Peer
) -> None:
    """kill -9 of an engine process under traffic: its companies are connected again within 10 s, the others do not
    notice, and nothing that was acknowledged is lost."""
    await api.wait_connected(*NAMES)
    before = await witness(api, loopback)
    victim = (await api.status(A.company))["engine"]
    lost = [user for user in COMPANIES if (await api.status(user.company))["engine"] == victim]
    others = [user for user in COMPANIES if user not in lost]
    async with flowing(api, listener, talker, COMPANIES) as traffic:
        await traffic.wait_acknowledged(20)
        os.kill(_pid_of(site, victim), signal.SIGKILL)
        await eventually("the engine's companies to be without it", lambda: _left(api, lost), within=5.0)
        await api.wait_connected(*NAMES, within=RECONNECT_WITHIN_S)
        for user in lost:
            await traffic.wait_acknowledged(5, company=user)
    await traffic.wait_delivered(since=before.seq)

    assert len(others) == 2
    assert [await before.statuses(user) for user in others] == [[], []]
    assert set(traffic.account.codes(*others)) == {"ok"}
    assert await before.more("logins") >= len(lost)


async def test_a_postgres_that_is_told_to_stop_loses_nothing(
    site: Site, api: Api, loopback: RemoteLoopback, listener: Peer, talker: Peer
) -> None:
    """SIGINT to the embedded server under traffic: it is started again, no company leaves WhatsApp, nothing is lost."""
    await api.wait_connected(*NAMES)
    before = await witness(api, loopback)
    restarts = (await api.actor("/postgres"))["restarts"]
    async with flowing(api, listener, talker, COMPANIES) as traffic:
        await traffic.wait_acknowledged(20)
        os.kill(_postmaster(site), signal.SIGINT)  # its `fast` shutdown
        await eventually("another server", lambda: _restarted(api, restarts), within=RECONNECT_WITHIN_S)
        await traffic.wait_acknowledged(20)
    await traffic.wait_delivered(since=before.seq)

    assert set(traffic.account.codes()) <= {"ok", "storage_unavailable"}
    assert [await before.statuses(user) for user in COMPANIES] == [[], [], [], []]
    assert await before.more("logins") == 0
    assert await before.more("retry_receipts") == 0


async def test_device_files_are_rebuilt_from_postgres(
    site: Site, api: Api, loopback: RemoteLoopback, listener: Peer
) -> None:
    """Device files that are deleted while the daemon is down are made anew, and the conversations go on."""
    await api.wait_connected(*NAMES)
    before = await witness(api, loopback)
    await site.daemon.stop()
    files = list((site.daemon.state_dir / "devices").iterdir())
    for file in files:
        file.unlink()
    await site.daemon.restart()
    await api.wait_connected(*NAMES, within=RECONNECT_WITHIN_S)

    assert len(files) >= len(COMPANIES)
    await before.assert_no_pairing()
    await before.assert_conversations_go_on(listener, *COMPANIES)


async def test_n4_a_killed_daemon_leaves_no_process(site: Site, api: Api) -> None:
    """kill -9 of the daemon: a second later no engine and no Postgres runs any more."""
    await api.wait_connected(*NAMES)
    family = site.daemon.family()
    site.daemon.signal(signal.SIGKILL)
    began = trio.current_time()
    await site.daemon.wait_ended(within=STOP_WITHIN_S)

    async def none_left() -> bool:
        return not alive(family) and not mentioning(str(site.daemon.state_dir))

    await eventually("every child to have ended", none_left, within=ORPHANS_END_WITHIN_S)
    print(
        f"N4: {len(family) - 1} child processes gone {trio.current_time() - began:.2f} s after SIGKILL of the daemon (bar 1)"
    )


async def test_a_killed_daemon_goes_on(
    site: Site, api: Api, loopback: RemoteLoopback, listener: Peer, talker: Peer
) -> None:
    """kill -9 of the daemon under traffic: started again, it takes its own leases over and connects within 10 s, and
    nothing that was acknowledged is lost."""
    await api.wait_connected(*NAMES)
    before = await witness(api, loopback)
    async with flowing(api, listener, talker, COMPANIES) as traffic:
        await traffic.wait_acknowledged(20)
        site.daemon.signal(signal.SIGKILL)
        await site.daemon.wait_ended(within=STOP_WITHIN_S)
        site.daemon.start()
        with trio.fail_after(RECONNECT_WITHIN_S):
            await site.daemon.wait_ready()
            await api.wait_connected(*NAMES)
        await traffic.wait_acknowledged(20)
    await traffic.wait_delivered(since=before.seq)

    await before.assert_no_pairing()
    assert await before.more("retry_receipts") <= len(
        COMPANIES
    )  # for messages that were being decrypted at that moment


async def test_what_was_acknowledged_is_in_postgres(
    site: Site, api: Api, loopback: RemoteLoopback, listener: Peer
) -> None:
    """Once a send is acknowledged, daemon and device files may be lost: Postgres has the state that it used."""
    await api.wait_connected(*NAMES)
    before = await witness(api, loopback)
    for number in range(10):
        await api.send(A.company, LISTENER.phone, f"durable {number}")
    site.daemon.signal(signal.SIGKILL)
    await site.daemon.wait_ended(within=STOP_WITHIN_S)
    for file in (site.daemon.state_dir / "devices").iterdir():
        file.unlink()
    await site.daemon.restart()
    await api.wait_connected(*NAMES)

    await before.assert_conversations_go_on(listener, A)


def _pid_of(site: Site, engine: str) -> int:
    said = [line for line in site.daemon.lines() if line.get("event") == "engine_ready" and line["engine"] == engine]
    return int(said[-1]["pid"])


def _postmaster(site: Site) -> int:
    pid = postmaster_pid(site.daemon.state_dir / "postgres" / "data")
    assert pid is not None
    return pid


async def _restarted(api: Api, restarts: int) -> bool:
    answer = await api.try_get("/admin/actors/postgres")
    return answer.status_code == 200 and answer.json()["actor"]["restarts"] > restarts


async def _left(api: Api, users: list[User]) -> bool:
    states = await api.states()
    return all(states[user.company] != "connected" for user in users)
