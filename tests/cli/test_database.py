"""`wasup migrate` and `wasup keys`: commands that use the database themselves."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.state import hold_state_dir, is_held
from storage.database.pool import open_database
from storage.embedded.server import EmbeddedPostgres
from storage.tables import api_keys
from tests.cli.terminal import Terminal
from tests.support.postgres import reachable_directory

ROOT = Path(__file__).parents[2]


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A directory that the embedded server's account can enter."""
    directory = reachable_directory()
    yield directory
    shutil.rmtree(directory)


async def test_migrate(bare_terminal: Terminal, empty_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first time it lists what it applied, the second time it says that there is nothing to do."""
    monkeypatch.setenv("DATABASE_URL", empty_dsn)

    first = await bare_terminal.run("migrate", "--json")
    second = await bare_terminal.run("migrate")

    assert (first.code, second.code) == (0, 0)
    assert first.json["applied"][0] == "0001_initial"
    assert second.lines == ["the schema is up to date"]


async def test_keys(bare_terminal: Terminal, postgres_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key is made, listed without its text, accepted, revoked, and refused."""
    monkeypatch.setenv("DATABASE_URL", postgres_dsn)

    admin = await bare_terminal.run("keys", "create", "operators", "--admin")
    scoped = await bare_terminal.run("keys", "create", "app", "--company", "962302", "--company", "a_b", "--json")
    listed = await bare_terminal.run("keys", "list", "--json")
    revoked = await bare_terminal.run("keys", "revoke", scoped.json["keyId"])
    again = await bare_terminal.run("keys", "revoke", scoped.json["keyId"])
    table = await bare_terminal.run("keys", "list")

    (secret,) = admin.lines
    assert "shown only now" in admin.err
    assert [(key["name"], key["admin"], key["companies"]) for key in listed.json["keys"]] == [
        ("operators", True, None),
        ("app", False, ["962302", "a_b"]),
    ]
    assert secret not in listed.out + table.out
    assert (revoked.code, again.code) == (0, 6)
    assert "could be revoked" in again.err
    async with open_database(postgres_dsn, size=1) as database:
        found = await api_keys.find(database, api_keys.digest(secret))
        assert found is not None
        assert found.is_admin
        assert await api_keys.find(database, api_keys.digest(scoped.json["key"])) is None


async def test_a_database_that_is_away(bare_terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 7: try again later."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://wasup:hunter2@127.0.0.1:9/wasup")

    ended = await bare_terminal.run("keys", "list")

    assert ended.code == 7
    assert "the database is unavailable" in ended.err
    assert "hunter2" not in ended.err
    assert len(ended.err.splitlines()) == 1


@pytest.mark.slow
def test_without_a_daemon_the_embedded_server_is_started_for_the_command(reachable: Path) -> None:
    """What one command stores the next one finds, and no server runs in between."""
    state_dir = reachable / "state"
    # In a process of its own: the server has to be started on the main thread.
    command = [sys.executable, "-c", "import sys; from actors.main import main; sys.exit(main())", "keys"]
    environment = {"PATH": os.environ["PATH"], "HOME": str(reachable), "WASUP_STATE_DIR": str(state_dir)}

    def run(*words: str) -> str:
        return subprocess.run(
            [*command, *words], cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=120
        ).stdout

    created = run("create", "operators", "--admin")
    assert not is_held(state_dir)
    listed = run("list")

    assert created.startswith("wasup_")
    assert "operators" in listed
    assert list(_postgres_of(state_dir)) == []


@pytest.mark.slow
async def test_beside_a_daemon_its_embedded_server_is_used(
    bare_terminal: Terminal, reachable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command neither starts a second server nor stops the running one."""
    state_dir = reachable / "state"
    monkeypatch.setenv("WASUP_STATE_DIR", str(state_dir))
    with hold_state_dir(state_dir):
        server = EmbeddedPostgres(state_dir / "postgres")
        await server.start()
        try:
            pid = server.pid
            created = await bare_terminal.run("keys", "create", "operators", "--admin")
            listed = await bare_terminal.run("keys", "list")

            assert (created.code, listed.code) == (0, 0)
            assert "operators" in listed.out
            assert server.pid == pid
        finally:
            await server.stop()


def _postgres_of(state_dir: Path) -> Iterator[int]:
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if str(state_dir) in (path / "cmdline").read_text():
                yield int(path.name)
        except OSError:
            continue
