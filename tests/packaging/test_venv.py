"""deploy/venv.py: its output while packages are installed, and when they cannot be had."""

from __future__ import annotations

import importlib.util
import io
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

from tests.packaging.project import ROOT


class Terminal(io.StringIO):
    """Says that it is one."""

    def isatty(self) -> bool:
        """Yes."""
        return True


@pytest.fixture
def venv() -> ModuleType:
    """The script as a module of its own, so that nothing of it is changed for others."""
    spec = importlib.util.spec_from_file_location("venv_script", ROOT / "deploy" / "venv.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _pip_that(venv: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(venv, "PYTHON", program)


def test_a_terminal_shows_the_package_that_pip_is_at(venv: ModuleType) -> None:
    """One line, replaced by the next and removed at the end."""
    output = Terminal()
    progress = venv.Progress(output)
    for line in ("Collecting trio==0.35.0\n", "  Using cached trio.whl\n", "Installing collected packages: trio\n"):
        progress.note(line)
    progress.end()

    shown = output.getvalue().split("\r\x1b[K")
    assert shown == [
        "",
        "deploy/venv.py: 1 packages, collecting trio …",
        "deploy/venv.py: 1 packages, installing all …",
        "",
    ]


def test_an_index_that_does_not_answer_is_said_at_once(venv: ModuleType) -> None:
    """Also without a terminal, and before pip has given up."""
    output = io.StringIO()
    venv.Progress(output).note("WARNING: Retrying (Retry(total=4)) after connection broken\n")

    assert output.getvalue() == "deploy/venv.py: the package index does not answer, trying again …\n"


def test_an_index_that_is_away_is_said_in_a_sentence(
    venv: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """After pip's own words: what to check."""
    _pip_that(venv, tmp_path, monkeypatch, "echo 'NewConnectionError: Network is unreachable'; exit 1")

    with pytest.raises(subprocess.CalledProcessError):
        venv.pip(["trio"])
    said = capsys.readouterr().err.splitlines()

    assert said[0] == "NewConnectionError: Network is unreachable"
    assert said[1].startswith("deploy/venv.py: the package index cannot be reached: check the internet connection")


def test_another_fault_of_pip_is_not_blamed_on_the_index(
    venv: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only pip's own words are printed."""
    _pip_that(venv, tmp_path, monkeypatch, "echo 'ERROR: ResolutionImpossible'; exit 1")

    with pytest.raises(subprocess.CalledProcessError):
        venv.pip(["trio"])

    assert capsys.readouterr().err.splitlines() == ["ERROR: ResolutionImpossible"]


def test_everything_installed_must_have_a_known_digest(
    venv: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pip itself, all packages and what they are built with; only this project, which lies here, has none."""
    _pip_that(venv, tmp_path, monkeypatch, f'echo "$@" >> {tmp_path}/calls')

    venv.install("dev")
    itself, packages, project = (tmp_path / "calls").read_text().splitlines()

    assert "--require-hashes --requirement" in itself
    assert f"--require-hashes --constraint {ROOT}/constraints.txt --constraint {ROOT}/hashes.txt" in packages
    assert f"--build-constraint {ROOT}/hashes.txt" in packages
    assert "--group dev" in packages
    assert project.endswith(
        f"--no-deps --build-constraint {ROOT}/constraints.txt --build-constraint {ROOT}/hashes.txt --editable {ROOT}"
    )


def test_the_entry_of_a_package_has_its_digests(venv: ModuleType) -> None:
    """As pip reads it from a file of requirements."""
    entry = venv.with_digests("pip")

    assert entry.startswith("pip==")
    assert "--hash=sha256:" in entry
    assert entry.count("==") == 1
