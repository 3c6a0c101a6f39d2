"""The content of the wheel."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.packaging.project import PACKAGES, ROOT, files


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from this tree without a package index."""
    directory = tmp_path_factory.mktemp("wheel")
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--disable-pip-version-check",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
    ]
    subprocess.run([*pip, "--quiet", "--wheel-dir", str(directory), str(ROOT)], check=True, timeout=120)
    (built,) = directory.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    """The files in it."""
    with zipfile.ZipFile(wheel) as opened:
        return set(opened.namelist())


def test_x12_every_file_of_the_packages_is_shipped(names: set[str]) -> None:
    """Code, SQL, pages and the markers of typing."""
    ours = {str(path.relative_to(ROOT)) for path in files() if path.relative_to(ROOT).parts[0] in PACKAGES}

    assert ours - names == set()
    assert any(name.startswith("storage/database/sql/migrations/0001") for name in names)
    assert {f"{package}/py.typed" for package in PACKAGES} <= names


def test_x12_nothing_else_is_shipped(names: set[str]) -> None:
    """No tests, benchmarks, deployment files or caches."""
    tops = {name.split("/")[0] for name in names}

    assert {top for top in tops if not top.endswith(".dist-info")} == set(PACKAGES)
    assert [name for name in names if "__pycache__" in name or name.endswith(".pyc")] == []


def test_it_runs_without_the_tree(wheel: Path, tmp_path: Path) -> None:
    """Unpacked elsewhere, the packages are found there and the command line and the migrations work."""
    with zipfile.ZipFile(wheel) as opened:
        opened.extractall(tmp_path)
    code = (
        "import actors.main, config, storage.database.migrate, supervisor, sys;"
        "print(supervisor.__file__, storage.database.migrate.shipped()[0].name); sys.exit(actors.main.main(['--version']))"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd="/",
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )

    first, second = done.stdout.splitlines()
    assert first.startswith(f"{tmp_path}/supervisor/__init__.py 0001")
    assert second.startswith("wasup ")
