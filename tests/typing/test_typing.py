"""The public API as type checkers see it: mypy and pyright, both strict."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def mypy_errors(file: Path) -> set[int]:
    """Lines of the file in which mypy finds an error."""
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--hide-error-context", str(file)]
    output = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False).stdout
    return {int(line) for line in re.findall(rf"{re.escape(file.name)}:(\d+): error", output)}


def pyright_errors(file: Path) -> set[int]:
    """Lines of the file in which pyright finds an error."""
    command = [sys.executable, "-m", "basedpyright", "--outputjson", "--level", "error", str(file)]
    output = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False).stdout
    found = json.loads(output)["generalDiagnostics"]
    return {diagnostic["range"]["start"]["line"] + 1 for diagnostic in found if diagnostic["severity"] == "error"}


CHECKERS = pytest.mark.parametrize("errors", [mypy_errors, pyright_errors], ids=["mypy", "pyright"])


@pytest.mark.slow
@CHECKERS
def test_types_are_revealed_as_asserted(errors: Callable[[Path], set[int]]) -> None:
    """The reply to an ask has the type that its request declares; every assert_type holds."""
    assert errors(HERE / "revealed.py") == set()


@pytest.mark.slow
@CHECKERS
def test_wrong_use_is_refused(errors: Callable[[Path], set[int]], tmp_path: Path) -> None:
    """Each line marked REFUSED is an error, and no other line is."""
    file = tmp_path / "refused.py"
    file.write_text((HERE / "refused.txt").read_text())
    marked = {
        number for number, line in enumerate(file.read_text().splitlines(), start=1) if line.endswith("# REFUSED")
    }

    assert len(marked) == 7
    assert errors(file) == marked
