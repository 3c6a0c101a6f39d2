"""P8: how long a backup and a restore of many companies take."""

from __future__ import annotations

import base64
import os
import shutil
import tempfile
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import LiteralString

import msgspec
import pytest

from storage.database.connection import Connection
from storage.database.migrate import migrate
from storage.database.pool import Database, open_database
from storage.embedded.server import EmbeddedPostgres
from storage.tables import auth_state, leases
from storage.tables.auth_state import Delta, KeyChange
from storage.whatsmeow.creds import key_pair
from tests.engine.rows import SESSION, creds
from tests.support.embedded import started
from tests.support.master_keys import vault
from tests.support.scripts import environment_for, run_script

pytestmark = pytest.mark.chaos

COMPANIES = int(os.environ.get("RESTORE_COMPANIES", "1000"))
PRE_KEYS, PARTNERS, EVENTS = 812, 60, 200
"""For each company: the keys that a linked device uploads at first, its peers, its stored events."""
FIRST = 100_000
SESSION_BYTES = 2000
BAR_S = 300.0
COUNTS: LiteralString = """
    SELECT (SELECT count(*) FROM whatsapp_auth) + (SELECT count(*) FROM whatsapp_keys) AS keys,
        (SELECT count(*) FROM whatsapp_events) AS events, pg_database_size(current_database()) AS size
"""
FILL_EVENTS: LiteralString = """
    INSERT INTO whatsapp_events (seq, id, type, company_id, occurred_at, payload)
    SELECT n, gen_random_uuid(), 'message', ($1::bigint + n % $2::bigint)::text, now(),
        json_build_object('messageId', md5(n::text), 'text', repeat(md5(n::text), 8))
    FROM generate_series(1, $2::bigint * $3::bigint) n
"""


def changes() -> Iterator[KeyChange]:
    """The keys of a company that has been linked for some weeks, in realistic sizes."""
    pre_key = msgspec.json.encode({**key_pair(b"\x01" * 32), "uploaded": True})
    session = base64.b64encode(SESSION.ljust(SESSION_BYTES)).decode()
    for number in range(PRE_KEYS):
        yield KeyChange("pre-key", str(number), pre_key)
    for number in range(PARTNERS):
        user = str(100000000000000 + number)
        yield KeyChange("whatsmeow-session", f"{user}_1:0", msgspec.json.encode({"type": "Buffer", "data": session}))
        yield KeyChange("identity-key", f"{user}_1.0", b'{"type":"Buffer","data":"%s"}' % (b"A" * 44))
        yield KeyChange("lid-mapping", f"790000{number:05}", msgspec.json.encode(user))
        yield KeyChange("lid-mapping", f"{user}_reverse", b'"790000%05d"' % number)


async def fill(database: Database) -> None:
    """Write them, sealed, through the same code as a running daemon's."""
    await migrate(database)
    keys = tuple(changes())
    for number in range(COMPANIES):
        company = str(FIRST + number)
        lease = await database.write(leases.acquire, company, "daemon-1/1", 3600.0)
        delta = Delta(company, lease.owner, lease.epoch, "file-1", 1, creds(), keys, base=True)
        (result,) = await database.write_slowly(60.0, auth_state.commit_deltas, [delta])
        assert result.error is None
    await database.write_slowly(600.0, _fill_events)


async def _fill_events(connection: Connection) -> None:
    await connection.execute(FILL_EVENTS, FIRST, COMPANIES, EVENTS)


@pytest.fixture
def disk() -> Generator[Path]:
    """A directory on a disk, not in memory."""
    directory = Path(tempfile.mkdtemp(prefix="wasup-restore-", dir="/var/tmp"))
    directory.chmod(0o711)
    yield directory
    shutil.rmtree(directory)


async def counted(dsn: str) -> tuple[int, int, int]:
    async with open_database(dsn, size=1) as database:
        row = await database.fetchrow(COUNTS)
    assert row is not None
    return row["keys"], row["events"], row["size"]


async def timed(name: str, *arguments: str | Path, environment: dict[str, str]) -> tuple[float, str]:
    began = time.monotonic()
    done = await run_script(name, *arguments, environment=environment)
    assert done.returncode == 0, done.stderr
    return time.monotonic() - began, done.stdout


async def test_backup_and_restore_of_many_companies(disk: Path) -> None:
    """Everything is there again; the seconds that each step took are printed."""
    backup = disk / "wasup.dump"
    async with started(EmbeddedPostgres(disk / "postgres")) as dsn:
        async with open_database(dsn, size=2, vault=vault(disk / "master.key", 1)) as database:
            await fill(database)
            await database.execute("CREATE DATABASE restored")
        environment = environment_for(dsn, disk / "state", WASUP_MASTER_KEY_FILE=str(disk / "master.key"))
        values, events, size = await counted(dsn)

        dump_s, _ = await timed("backup.sh", backup, environment=environment)
        other = dsn.replace("@/postgres?", "@/restored?")
        restore_s, _ = await timed("restore.sh", backup, environment={**environment, "DATABASE_URL": other})
        restored = await counted(other)
        drill_s, said = await timed("restore-drill.sh", backup, environment=environment)

    print(
        f"P8: {COMPANIES} companies, {values} values, {events} events, {size / 2**20:.0f} MiB: backup {dump_s:.1f} s "
        f"({backup.stat().st_size / 2**20:.0f} MiB), restore {restore_s:.1f} s (bar {BAR_S:g}), drill {drill_s:.1f} s; "
        f"load {os.getloadavg()[0]:.1f}\n{said}"
    )
    assert (values, events) == (COMPANIES * (1 + PRE_KEYS + 4 * PARTNERS), COMPANIES * EVENTS)
    assert restored[0] == values - COMPANIES * PARTNERS  # the sessions
    assert restored[1] == events
