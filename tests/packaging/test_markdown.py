"""Markdown that people read in a terminal and in a review: short lines, short cells."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.packaging.project import ROOT

LINE_CHARACTERS = 160
CELL_CHARACTERS = 200


def pages() -> list[Path]:
    """Every Markdown file of the repository."""
    listed = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout: which files belong to the repository is unknown")
    return [ROOT / name for name in listed.stdout.split()]


def too_long(text: str) -> Iterator[str]:
    """Lines over their limit outside tables, and cells over theirs."""
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("|"):
            for cell in re.split(r"(?<!\\)\|", line):
                if len(cell.strip()) > CELL_CHARACTERS:
                    yield f"{number}: a cell of {len(cell.strip())} characters: {cell.strip()[:60]}"
        elif len(line) > LINE_CHARACTERS:
            yield f"{number}: a line of {len(line)} characters: {line[:60]}"


def test_no_line_and_no_cell_is_too_long() -> None:
    """A line has at most 160 characters, a cell of a table 200."""
    found = [f"{page.relative_to(ROOT)}:{fault}" for page in pages() for fault in too_long(page.read_text())]

    assert found == []


def test_the_check_finds_what_is_too_long() -> None:
    """A long line and a long cell are found, with their place; a row of short cells may be long."""
    text = "\n".join(("a" * 161, "| " + "b" * 201 + " |", "| " + "c" * 150 + " | " + "d" * 150 + " |"))

    assert [fault.partition(":")[0] for fault in too_long(text)] == ["1", "2"]
