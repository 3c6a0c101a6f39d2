"""`wasup with-database`: PostgreSQL's own programs on wasup's database."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from storage.postgres_binaries import packaged
from tests.cli.terminal import Terminal
from tests.support.postgres import database_name, reachable_directory

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
    """The program finds it by libpq's variables, and wasup's commands by DATABASE_URL."""
    psql, state = str(packaged() / "bin" / "psql"), str(tmp_path)
    asked = wasup(
        "with-database", psql, "-XAtc", "SELECT current_database()", DATABASE_URL=postgres_dsn, WASUP_STATE_DIR=state
    )
    nested = wasup("with-database", str(PROGRAM), "stats", "--json", DATABASE_URL=postgres_dsn, WASUP_STATE_DIR=state)

    assert asked.stdout.strip() == database_name(postgres_dsn), asked.stderr
    assert nested.returncode == 0, nested.stderr


def test_the_embedded_server_is_started_for_the_program() -> None:
    """Its own psql is the one that is found, and nothing runs afterwards."""
    directory = reachable_directory()
    state = directory / "state"
    ended = wasup("with-database", "psql", "-XAtc", "SHOW server_version_num", WASUP_STATE_DIR=str(state))

    assert ended.stdout.startswith("18"), ended.stderr
    assert not (state / "postgres" / "data" / "postmaster.pid").exists()
    subprocess.run(["rm", "-rf", str(directory)], check=True)


@pytest.mark.parametrize(("script", "code"), [("exit 7", 7), ("kill -KILL $$", 137)])
def test_the_programs_exit_code_is_ours(tmp_path: Path, script: str, code: int) -> None:
    """Also that of one which a signal ended."""
    ended = wasup("with-database", "sh", "-c", script, DATABASE_URL="postgresql:///x", WASUP_STATE_DIR=str(tmp_path))

    assert ended.returncode == code


def test_its_options_are_its_own(tmp_path: Path) -> None:
    """Nothing behind the program's name is taken for one of ours."""
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
        ("postgresql:///x?nonsense=1", "true", 3, "no environment variable for nonsense"),
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
