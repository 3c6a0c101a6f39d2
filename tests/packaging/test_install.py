"""The installed packages are ours, complete, and start from anywhere.

PyPI has a distribution `supervisor` whose files would replace those of our package of that name, and pip would not warn.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from importlib import metadata, resources
from pathlib import Path

import pytest

from storage.database.migrate import shipped
from tests.packaging.project import PACKAGES, ROOT

PROGRAM = Path(sys.executable).with_name("wasup")


@pytest.mark.parametrize("name", PACKAGES)
def test_each_package_is_ours(name: str) -> None:
    """Its origin is this tree, and it is not the namespace package that an uninstalled namesake leaves behind."""
    origin = importlib.import_module(name).__file__

    assert origin == str(ROOT / name / "__init__.py")


def test_the_namesake_is_not_installed() -> None:
    """The distribution `supervisor` is absent."""
    with pytest.raises(metadata.PackageNotFoundError):
        metadata.distribution("supervisor")


@pytest.mark.parametrize("name", PACKAGES)
def test_each_package_says_that_it_is_typed(name: str) -> None:
    """Type checkers of others read our annotations."""
    assert (resources.files(name) / "py.typed").is_file()


def test_the_migrations_are_there() -> None:
    """They are read as resources of the package."""
    assert shipped()[0].name.startswith("0001")


def test_the_program_runs_from_anywhere() -> None:
    """The console script starts in a directory without any file of ours."""
    done = subprocess.run([PROGRAM, "--version"], cwd="/", capture_output=True, text=True, check=True)

    assert done.stdout == f"wasup {metadata.version('wasup')}\n"
    assert done.stderr == ""


def test_the_environment_is_renewed_only_when_something_changed(tmp_path: Path) -> None:
    """deploy/venv.py refuses unknown arguments before it changes anything."""
    script = ROOT / "deploy/venv.py"

    done = subprocess.run(
        [sys.executable, script, "nonsense"], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert done.returncode == 2
    assert done.stderr == "usage: deploy/venv.py run|dev\n"
    assert list(tmp_path.iterdir()) == []


def test_make_says_which_python_it_needs(tmp_path: Path) -> None:
    """With a Python that is too old, the message names the version and the way out."""
    old = tmp_path / "old-python"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.10.13"\nexit 1\n')
    old.chmod(0o755)

    done = subprocess.run(
        ["make", "-C", str(ROOT), "run", f"PYTHON={old}"],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode != 0
    assert "wasup needs Python 3.11 or later" in done.stderr
    assert "is Python 3.10.13" in done.stderr
