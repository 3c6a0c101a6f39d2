"""docs/RELIABILITY.md: no experiment is missing, and every test it names is there and knows which experiment it is."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import pytest

from tests.packaging.project import ROOT

TEXT = (ROOT / "docs" / "RELIABILITY.md").read_text()
COUNTS = {"S": 8, "P": 8, "L": 4, "D": 6, "E": 9, "N": 4, "X": 12}
IDS = [f"{letter}{number}" for letter, count in COUNTS.items() for number in range(1, count + 1)]
PROMISES = 10
COLUMNS = 7
CITED = re.compile(r"`((?:tests|benchmarks|deploy)/[\w/.-]+\.(?:py|sh))(?:::(test_\w+))?`")


@dataclass(frozen=True, slots=True)
class Citation:
    """A test, or a whole program."""

    path: str
    name: str
    """Empty for a program."""


def rows(pattern: str) -> dict[str, list[str]]:
    """The cells of each table row whose first cell matches, by that cell."""
    found: dict[str, list[str]] = {}
    for line in TEXT.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("| ") and re.fullmatch(pattern, cells[0]):
            assert cells[0] not in found, f"{cells[0]} is there twice"
            found[cells[0]] = cells
    return found


def citations(cells: list[str]) -> Iterator[Citation]:
    """What a row names."""
    for match in CITED.finditer(" ".join(cells)):
        yield Citation(match[1], match[2] or "")


@cache
def documented(path: str) -> dict[str, str]:
    """What the tests of a file say of themselves, name and all; under the empty name the file itself."""
    if path.endswith(".sh"):
        return {"": (ROOT / path).read_text()}
    tree = ast.parse((ROOT / path).read_text())
    module = ast.get_docstring(tree) or ""
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return {"": module} | {node.name: f"{node.name} {ast.get_docstring(node)} {module}" for node in functions}


EXPERIMENTS = rows(r"[SPLDENX]\d+")


def test_every_experiment_has_its_row() -> None:
    """All of the list, in its order, and nothing else."""
    assert list(EXPERIMENTS) == IDS
    assert {name: len(cells) for name, cells in EXPERIMENTS.items() if len(cells) != COLUMNS} == {}


@pytest.mark.parametrize("experiment", IDS)
def test_a_row_is_complete(experiment: str) -> None:
    """Fault, test, command, bar, figure, what is not covered: none is left empty, and there is no figure without a test."""
    cells = EXPERIMENTS[experiment]

    assert [cell for cell in cells if not cell] == []
    assert list(citations(cells)) or (cells[2], cells[5]) == ("none", "not measured")


@pytest.mark.parametrize("experiment", IDS)
def test_what_a_row_names_exists_and_names_the_experiment(experiment: str) -> None:
    """A test by its name or its docstring, or its file's; a program by its docstring."""
    named = re.compile(rf"(?<![A-Za-z0-9]){experiment}(?![A-Za-z0-9])", re.IGNORECASE)
    for cited in citations(EXPERIMENTS[experiment]):
        assert (ROOT / cited.path).exists(), cited
        assert cited.name in documented(cited.path), cited
        assert named.search(documented(cited.path)[cited.name].replace("_", " ")), cited


def test_every_promise_has_its_mechanism_and_its_test() -> None:
    """Ten of them, each with a module that keeps it and a test that exists."""
    promises = rows(r"\d+")

    assert list(promises) == [str(number) for number in range(1, PROMISES + 1)]
    for number, cells in promises.items():
        modules = re.findall(r"`((?:actors|storage|supervisor|config|benchmarks|tests/support)/[\w/.]+)`", cells[2])
        tests = list(citations(cells[3:]))
        assert modules, number
        assert [path for path in modules if not (ROOT / path).exists()] == [], number
        assert tests, number
        assert [cited for cited in tests if cited.name not in documented(cited.path)] == [], number


def test_every_other_test_it_names_exists() -> None:
    """In the text and in the tables of the long runs, too."""
    cited = list(citations(TEXT.splitlines()))

    assert len(cited) > len(IDS)
    assert [each for each in cited if not (ROOT / each.path).exists()] == []
    assert [each for each in cited if each.name not in documented(each.path)] == []


def test_every_make_target_it_names_exists() -> None:
    """Commands can be typed as they stand there."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"`[A-Z=\d ]*make ([a-z-]+)", TEXT))

    assert named >= {"test", "test-long", "chaos"}
    assert named <= targets
