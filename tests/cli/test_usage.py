"""The grammar of the command line, and how it ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import trio

from actors import main as main_module
from config.state import hold_state_dir
from tests.cli.terminal import Terminal

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["nonsense"], "invalid choice: 'nonsense'"),
        (["link"], "required: COMPANY"),
        (["link", "a b"], "a company id is 1 to 64 of A-Z a-z 0-9 _ and -"),
        (["send", "962302", "79000000001"], "required: TEXT"),
        (["keys", "create", "app"], "one of the arguments --admin --company is required"),
        (["keys", "create", "\n", "--admin"], "a name is 1 to 100 printable characters"),
        (["tree", "--interval", "nan"], "a number of seconds from 0.1 to 86400 was expected"),
        (["events", "--after", "-1"], "a whole number from 0 was expected"),
        (["sessions", "--url", "ftp://x"], "'ftp://x' is not the URL of a daemon"),
        (["events", "--foll"], "unrecognized arguments"),
    ],
)
async def test_wrong_words(bare_terminal: Terminal, argv: list[str], said: str) -> None:
    """Exit code 2 and a sentence on standard error; abbreviations are not guessed."""
    ended = await bare_terminal.run(*argv)

    assert ended.code == 2
    assert said in ended.err
    assert ended.out == ""


async def test_no_command_shows_the_help(bare_terminal: Terminal) -> None:
    """On standard error, with exit code 2."""
    ended = await bare_terminal.run()

    assert ended.code == 2
    assert "run the daemon" in ended.err


async def test_help_needs_no_settings(bare_terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Help is there when the settings are not."""
    monkeypatch.setenv("WASUP_BIND", "nonsense")

    ended = await bare_terminal.run("link", "--help")

    assert ended.code == 0
    assert "--phone" in ended.out


@pytest.mark.parametrize("command", ["run", "check-config", "migrate", "sessions", "tree"])
async def test_wrong_settings(bare_terminal: Terminal, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    """Every command ends with code 3 and a line for each problem."""
    monkeypatch.setenv("WASUP_BIND", "nonsense")
    monkeypatch.setenv("WASUP_LOG_LEVEL", "loud")

    ended = await bare_terminal.run(command)

    assert ended.code == 3
    assert [line.partition(":")[2].split(":")[0] for line in ended.err.splitlines()] == [
        " environment variable WASUP_BIND",
        " environment variable WASUP_LOG_LEVEL",
    ]


def test_every_command_of_the_grammar_exists() -> None:
    """Each has a module with `run`, and its documentation a section."""
    page = (ROOT / "docs/cli.md").read_text()

    for name, module in main_module.COMMANDS.items():
        assert callable(__import__(module, fromlist=["run"]).run)
        assert f"## `wasup {name}" in page or f"## `wasup {name.replace('-', ' ')}" in page, name


async def test_an_interruption_is_no_error(bare_terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends with 130 and without a traceback, also from inside a nursery."""

    async def interrupted(*_: object) -> None:
        raise BaseExceptionGroup("", [KeyboardInterrupt()])

    monkeypatch.setattr("actors.cli.sessions._fetch", interrupted)

    ended = await bare_terminal.run("sessions")

    assert (ended.code, ended.err) == (130, "")


def test_a_reader_that_leaves_is_no_error() -> None:
    """`wasup … | head -1` ends quietly."""
    code = "import sys; from actors.main import main; sys.exit(main(['check-config']))"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PATH": "/bin", "HOME": "/tmp"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        said = process.stderr.read()

        assert process.wait() == 0
    assert said == b""


async def test_settings_in_effect(bare_terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """check-config prints every setting with where it is from, secrets hidden."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://wasup:hunter2@h/d")
    monkeypatch.setenv("WASUP_PROXIES", "962302=http://u:hunter2@127.0.0.1:1")
    monkeypatch.setenv("WASUP_HTTP_TRUSTED_PROXIES", "10.0.0.1")

    plain = await bare_terminal.run("check-config")
    as_json = await bare_terminal.run("check-config", "--json")

    assert (plain.code, as_json.code) == (0, 0)
    assert "database_url = postgresql://********@h/d  (environment variable DATABASE_URL)" in plain.lines
    assert "http.trusted_proxies = 10.0.0.1/32  (environment variable WASUP_HTTP_TRUSTED_PROXIES)" in plain.lines
    assert "http.max_body_bytes = 65536  (default)" in plain.lines
    assert as_json.json["proxies"]["value"] == {"962302": "http://********@127.0.0.1:1"}
    assert as_json.json["health.interval_ms"]["environment"] == "HEALTH_CHECK_INTERVAL"
    assert "hunter2" not in plain.out + as_json.out


async def test_settings_are_read_from_the_named_file(bare_terminal: Terminal, tmp_path: Path) -> None:
    """--config, for every command."""
    path = tmp_path / "other.toml"
    path.write_text("sessions_per_engine = 7")

    ended = await bare_terminal.run("check-config", "--config", str(path))

    assert f"sessions_per_engine = 7  ({path}:1)" in ended.lines


async def test_the_daemon_is_refused_a_busy_state_directory(bare_terminal: Terminal) -> None:
    """A second `wasup run` says which process has the directory, and changes nothing."""
    with hold_state_dir(bare_terminal.state_dir):
        ended = await bare_terminal.run("run")

    assert ended.code == 1
    assert "already runs on the state directory" in ended.err
    assert await trio.Path(bare_terminal.state_dir).exists()
