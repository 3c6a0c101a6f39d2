"""L4: the daemon's wall clock jumps by three days, forward and back; that of Postgres does not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trio

from storage.database.pool import open_database
from storage.embedded.server import EmbeddedPostgres
from tests.acceptance.peer import Peer
from tests.acceptance.traffic import flowing
from tests.acceptance.witness import witness
from tests.loopback.remote import RemoteLoopback
from tests.support.api import SESSIONS, Api
from tests.support.eventually import eventually
from tests.support.site import Plan, Site, User

LIBRARY = next(iter(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), None)
pytestmark = [
    pytest.mark.chaos,
    pytest.mark.skipif(LIBRARY is None, reason="libfaketime is not installed (Debian's package faketime)"),
]

A, B, LISTENER, TALKER = (User(number) for number in range(1, 5))
COMPANIES = (A, B)
NAMES = tuple(user.company for user in COMPANIES)
JUMPS = ("+3d", "-3d", "+0")
"""Each from the true time."""
LOOK_S = 5.0


@pytest.fixture(scope="module")
def clock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The offset of the daemon's clock, which the daemon reads once a second."""
    file = tmp_path_factory.mktemp("clock") / "offset"
    file.write_text("+0\n")
    return file


@pytest.fixture(scope="module")
def plan(clock: Path) -> Plan:
    """A daemon, and engines, whose clock differs from that of Postgres."""
    return Plan(
        companies=COMPANIES,
        others=(LISTENER, TALKER),
        settings={
            "RATE_LIMIT_MAX_REQUESTS": "100000",
            "HEALTH_CHECK_INTERVAL": "1000",
            "WASUP_LEASE_TTL_S": "9",
            "WASUP_LEASE_RENEW_INTERVAL_S": "2",
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(clock),
            "FAKETIME_CACHE_DURATION": "1",  # seconds; without a cache every reading of a clock, monotonic ones too, reads the file
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        },
        has_own_database=True,
    )


async def test_a_wall_clock_that_jumps_moves_no_lease_and_no_timer(
    site: Site,
    api: Api,
    loopback: RemoteLoopback,
    listener: Peer,
    talker: Peer,
    database: EmbeddedPostgres,
    clock: Path,
) -> None:
    """No company leaves WhatsApp, no lease changes hands, checks are as frequent as before, and nothing acknowledged is lost."""
    await api.wait_connected(*NAMES)
    before, leases = await witness(api, loopback), await _leases(database)
    async with flowing(api, listener, talker, COMPANIES) as traffic:
        usual = await _questions(loopback)
        asked: list[int] = []
        for jump in JUMPS:
            _set(clock, jump)
            await _assert_clock_is_off(site, api, jump)
            asked.append(await _questions(loopback))
            await traffic.wait_acknowledged(20, within=60.0)
    await traffic.wait_delivered(since=before.seq, within=60.0)

    assert await before.more("logins") == 0
    assert [await before.statuses(user) for user in COMPANIES] == [[], []]
    assert await _leases(database) == leases
    assert set(traffic.account.codes()) <= {
        "ok",
        "storage_unavailable",
    }  # a library before every reading of a clock costs much time
    assert max(asked) <= 2 * usual
    print(
        f"L4: clock {', '.join(JUMPS)}: no lease and no connection changed; {len(traffic.account.acknowledged)} sends acknowledged, all "
        f"arrived; {dict(traffic.account.codes())}; questions to WhatsApp in {LOOK_S:g} s: {usual}, after the jumps {asked}"
    )


def _set(clock: Path, offset: str) -> None:
    """Write in one step: half a file would be another time."""
    fresh = clock.with_suffix(".new")
    fresh.write_text(f"{offset}\n")
    fresh.rename(clock)


async def _assert_clock_is_off(site: Site, api: Api, offset: str) -> None:
    """The daemon dates what it logs by that clock."""
    days = int(offset.removesuffix("d"))

    async def look() -> bool:
        await api.post(f"{SESSIONS}/{A.company}/start")  # it runs already, and logs this
        stamp = [line["timestamp"] for line in site.daemon.lines() if line["event"] == "admin_action"][-1]
        off = datetime.fromisoformat(stamp) - datetime.now(UTC)
        return abs(off - timedelta(days=days)) < timedelta(hours=1)

    await eventually(f"the daemon's clock to be off by {offset}", look, within=30.0)


async def _questions(loopback: RemoteLoopback) -> int:
    """How many queries WhatsApp got in `LOOK_S`."""
    before = (await loopback.counters())["queries"]
    await trio.sleep(LOOK_S)  # the number of events in a fixed time is what this measures
    return (await loopback.counters())["queries"] - before


async def _leases(database: EmbeddedPostgres) -> set[tuple[str, str, int]]:
    async with open_database(database.dsn, size=1) as reader:
        rows = await reader.fetch("SELECT company_id, owner, epoch FROM whatsapp_leases")
    return {(row["company_id"], row["owner"], row["epoch"]) for row in rows}
