"""`wasup with-database`: PostgreSQL's own programs on wasup's database."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest
import trio

from config.postgres_url import read
from storage.database.pool import open_database
from storage.embedded.binaries import packaged
from tests.cli.terminal import Terminal
from tests.support.pgbouncer import PgBouncer, pgbouncer
from tests.support.postgres import PostgresServer, database_name, reachable_directory

__all__ = ["pgbouncer"]

PROGRAM = Path(sys.executable).with_name("wasup")
pytestmark = pytest.mark.slow


def wasup(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run it to its end, in a process of its own."""
    return subprocess.run(
        [PROGRAM, *arguments],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_server_of_ones_own(postgres_dsn: str, tmp_path: Path) -> None:
    """The program gets it in libpq's variables, and wasup's commands in DATABASE_URL."""
    psql, state = str(packaged() / "bin" / "psql"), str(tmp_path)
    asked = wasup(
        "with-database", psql, "-XAtc", "SELECT current_database()", DATABASE_URL=postgres_dsn, WASUP_STATE_DIR=state
    )
    nested = wasup("with-database", str(PROGRAM), "stats", "--json", DATABASE_URL=postgres_dsn, WASUP_STATE_DIR=state)

    assert asked.stdout.strip() == database_name(postgres_dsn), asked.stderr
    assert nested.returncode == 0, nested.stderr


@pytest.mark.parametrize(
    "form", ["postgresql://{host}/{name}", "postgresql:///?host={host}&dbname={name}&user=postgres"]
)
async def test_the_program_and_the_daemon_reach_one_database(postgres_dsn: str, tmp_path: Path, form: str) -> None:
    """Wherever the URL names it, and whatever the environment names besides."""
    (host, port), *_ = read(postgres_dsn).hosts
    url = form.format(host=quote(host, safe=""), name=database_name(postgres_dsn))
    environment = {
        "WASUP_STATE_DIR": str(tmp_path),
        "PGPORT": str(port),
        "PGUSER": "postgres",
        "PGDATABASE": "template1",
    }
    psql = str(packaged() / "bin" / "psql")
    asked = await trio.to_thread.run_sync(
        lambda: wasup("with-database", psql, "-XAtc", "SELECT current_database()", DATABASE_URL=url, **environment)
    )
    async with open_database(read(url, environment)) as database:
        ours = await database.fetchval("SELECT current_database()")

    assert asked.stdout.strip() == ours == database_name(postgres_dsn), asked.stderr


def test_through_a_pooler_a_program_needs_a_way_past_it(
    pgbouncer: PgBouncer, postgres_server: PostgresServer, postgres_dsn: str, tmp_path: Path
) -> None:
    """Without one it is refused, as is one to another database; with one the program gets that, and so do commands in it."""
    pooled, other = pgbouncer.url_of(postgres_dsn).reveal(), postgres_server.dsn_of("template1")
    state = {"WASUP_STATE_DIR": str(tmp_path), "DATABASE_URL": pooled}
    psql = [str(packaged() / "bin" / "psql"), "-XAtc", "SHOW port"]

    refused = wasup("with-database", *psql, **state)
    elsewhere = wasup("with-database", *psql, **state, WASUP_DATABASE_DIRECT_URL=other)
    done = wasup("with-database", *psql, **state, WASUP_DATABASE_DIRECT_URL=postgres_dsn)
    nested = wasup(
        "with-database", "sh", "-c", "echo $PGPORT $DATABASE_URL", **state, WASUP_DATABASE_DIRECT_URL=postgres_dsn
    )

    assert (refused.returncode, elsewhere.returncode) == (3, 3)
    assert "set WASUP_DATABASE_DIRECT_URL" in refused.stderr
    assert "leads to another database" in elsewhere.stderr
    assert done.stdout.strip() == str(read(postgres_dsn).hosts[0][1]), done.stderr
    assert nested.stdout.split() == [done.stdout.strip(), read(postgres_dsn).reveal()]


def test_the_embedded_server_is_started_for_the_program() -> None:
    """Its own psql is the one that is found, and no server runs afterwards."""
    directory = reachable_directory()
    state = directory / "state"
    ended = wasup("with-database", "psql", "-XAtc", "SHOW server_version_num", WASUP_STATE_DIR=str(state))

    assert ended.stdout.startswith("18"), ended.stderr
    assert not (state / "postgres" / "data" / "postmaster.pid").exists()
    subprocess.run(["rm", "-rf", str(directory)], check=True)


@pytest.mark.parametrize(("script", "code"), [("exit 7", 7), ("kill -KILL $$", 137)])
def test_the_programs_exit_code_is_ours(tmp_path: Path, script: str, code: int) -> None:
    """Also when a signal ended it."""
    ended = wasup("with-database", "sh", "-c", script, DATABASE_URL="postgresql:///x", WASUP_STATE_DIR=str(tmp_path))

    assert ended.returncode == code


def test_its_options_are_its_own(tmp_path: Path) -> None:
    """Options behind the program's name are not taken for wasup's."""
    ended = wasup(
        "with-database",
        "echo",
        "--help",
        "--config",
        "x",
        DATABASE_URL="postgresql:///x",
        WASUP_STATE_DIR=str(tmp_path),
    )

    assert ended.stdout == "--help --config x\n"


@pytest.mark.parametrize(
    ("dsn", "program", "code", "said"),
    [
        ("postgresql:///x", "no-such-program", 2, "there is no program no-such-program"),
        ("postgresql:///x?nonsense=1", "true", 3, "PostgreSQL knows no parameter nonsense"),
    ],
)
async def test_what_cannot_be_begun(
    bare_terminal: Terminal, monkeypatch: pytest.MonkeyPatch, dsn: str, program: str, code: int, said: str
) -> None:
    """One sentence each."""
    monkeypatch.setenv("DATABASE_URL", dsn)

    ended = await bare_terminal.run("with-database", program)

    assert ended.code == code
    assert said in ended.err
