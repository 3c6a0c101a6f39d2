"""Rules that every file of the repository keeps."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.packaging.project import ROOT, files

# Phone numbers that are not in use: +7 900 000-00-NN.
_EXAMPLE = re.compile(r"[78]90000000\d\d")
_PHONE = re.compile(r"(?<![\w.-])\+?([78]9\d{9})(?![\w.-])")
_HOME = re.compile(r"/(?:root|home/(?!operator\b)[a-z]\w*|Users/\w+)/")
_INDEX = re.compile(r"(?:extra-)?index-url|find-links|https?://[^\s\"']*/simple\b")
_SECRET = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----|\bgh[pousr]_\w{30,}|\bAKIA[0-9A-Z]{16}\b")


def matches(pattern: re.Pattern[str]) -> list[str]:
    """Where ``pattern`` occurs in text files: ``path:line: what``."""
    found: list[str] = []
    for path in files():
        if path == Path(__file__):
            continue
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        for match in pattern.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            found.append(f"{path.relative_to(ROOT)}:{line}: {match[0]}")
    return found


def test_no_path_of_a_developer_s_machine() -> None:
    """Neither this directory's nor a home directory's."""
    # A checkout directly below the root, as in a container, has no path of its own that would differ from a common word.
    own = [] if len(ROOT.parts) < 3 else matches(re.compile(re.escape(str(ROOT)) + r"\b"))

    assert own == []
    assert matches(_HOME) == []


def test_no_package_index_is_named() -> None:
    """pip uses the one its machine is configured for."""
    assert matches(_INDEX) == []


def test_no_secret() -> None:
    """No private key or token of a known form."""
    assert matches(_SECRET) == []


def test_only_example_phone_numbers() -> None:
    """No number that could be in use."""
    assert [where for where in matches(_PHONE) if not _EXAMPLE.search(where)] == []


def test_imports_point_downwards() -> None:
    """actors → storage | supervisor → config, and the other contracts of pyproject.toml."""
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"

    done = subprocess.run(
        [sys.executable, "-c", code, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout
